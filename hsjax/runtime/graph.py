"""TFLite files as graphs of objects that can be changed, and back."""

import types
from typing import Any, NamedTuple

import numpy as np

from hsjax.types import UserError


class Graph(NamedTuple):
    """A file with one subgraph.

    Attributes:
      schema: module of the objects' classes and of TFLite's numbers for operators and types.
      model: the whole.
      subgraph: its only one.
    """

    schema: types.ModuleType
    model: Any
    subgraph: Any

    def name(self, operator: Any) -> str:
        """TFLite's name of an operator, a number if it has none."""
        code = self.model.operatorCodes[operator.opcodeIndex].builtinCode
        names = (name for name, number in vars(self.schema.BuiltinOperator).items() if number == code)
        return next(names, str(code))

    def code(self, name: str, version: int = 1) -> int:
        """Index of the operator code for a builtin operator, which is added if need be."""
        number = getattr(self.schema.BuiltinOperator, name)
        for index, code in enumerate(self.model.operatorCodes):
            if (code.builtinCode, code.version) == (number, version):
                return index
        self.model.operatorCodes.append(
            self.schema.OperatorCodeT(min(number, 127), builtinCode=number, version=version)
        )
        return len(self.model.operatorCodes) - 1

    def constant(self, index: int) -> np.ndarray | None:
        """Values of a constant tensor of float32, int8 or int16, integers as they are; None for any other tensor."""
        tensor = self.subgraph.tensors[index]
        data = self.model.buffers[tensor.buffer].data
        kinds = self.schema.TensorType
        kind = {kinds.FLOAT32: np.float32, kinds.INT8: np.int8, kinds.INT16: np.int16}.get(tensor.type)
        if kind is None or data is None or not len(data):
            return None
        return np.asarray(data, np.uint8).view(kind).reshape(tensor.shape)

    def users(self, index: int) -> list[Any]:
        """The operators that a tensor goes into, in order."""
        return [one for one in self.subgraph.operators if index in one.inputs]


def opened(model: bytes) -> Graph:
    """The graph of a TFLite file of ours: the reader verifies nothing.

    Raises:
      UserError: LiteRT is not installed.
    """
    try:
        from ai_edge_litert import schema_py_generated as schema
    except ImportError as error:
        raise UserError('ai-edge-litert is not installed: pip install "hsjax[runtime]"') from error
    graph: Any = schema.ModelT.InitFromPackedBuf(model, 0)
    return Graph(schema, graph, graph.subgraphs[0])  # others are bodies of loops and branches


def closed(graph: Graph) -> bytes:
    """The file of a graph."""
    import flatbuffers  # comes with LiteRT

    builder = flatbuffers.Builder()
    builder.Finish(graph.model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
