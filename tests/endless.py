"""An ONNX file whose loop never ends for what is loud."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper


def model(window: int) -> bytes:
    """Logits (n, 2) of windows; a sample above 0.8 is what its loop goes on for."""
    state = helper.make_tensor_value_info("state", TensorProto.FLOAT, [None, 2])
    body = helper.make_graph(
        [helper.make_node("Identity", ["go_on"], ["again"]), helper.make_node("Identity", ["state"], ["next"])],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            state,
        ],
        [
            helper.make_tensor_value_info("again", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [None, 2]),
        ],
    )
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMax", ["samples"], ["peak"], keepdims=0),
            helper.make_node("Greater", ["peak", "loud"], ["first"]),
            helper.make_node("MatMul", ["samples", "weights"], ["begin"]),
            helper.make_node("Loop", ["", "first", "begin"], ["logits"], body=body),
        ],
        "endless",
        [helper.make_tensor_value_info("samples", TensorProto.FLOAT, [None, window])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [None, 2])],
        [
            numpy_helper.from_array(np.float32(0.8), "loud"),
            numpy_helper.from_array(np.ones((window, 2), np.float32), "weights"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
