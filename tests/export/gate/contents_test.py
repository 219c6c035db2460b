import subprocess
import sys

from hsjax.runtime.micro_operators import MICRO_OPERATORS

# Asks TFLite Micro's own interpreter for every builtin operator, each in a copy of the process: some do not survive a
# model of one operator without options.
ASK = """
import os
import flatbuffers
import tflite_micro
from ai_edge_litert import schema_py_generated as schema

def model(code):
    tensors = [schema.TensorT(shape=[1], type=0, buffer=0, name=name) for name in (b"in", b"out")]
    subgraph = schema.SubGraphT(tensors=tensors, inputs=[0], outputs=[1], operators=[schema.OperatorT(0, [0], [1])])
    codes = [schema.OperatorCodeT(min(code, 127), builtinCode=code, version=1)]
    whole = schema.ModelT(version=3, operatorCodes=codes, subgraphs=[subgraph], buffers=[schema.BufferT()])
    builder = flatbuffers.Builder()
    builder.Finish(whole.Pack(builder), b"TFL3")
    return bytes(builder.Output())

no_operators = {"CUSTOM", "DELEGATE", "PLACEHOLDER_FOR_GREATER_OP_CODES"}
for name, code in vars(schema.BuiltinOperator).items():
    if isinstance(code, int) and name not in no_operators:
        content = model(code)
        there, back = os.pipe()
        pid = os.fork()
        if not pid:
            os.dup2(back, 2)
            try:
                tflite_micro.runtime.Interpreter.from_bytes(content, arena_size=100_000)
            finally:
                os._exit(0)
        os.close(back)
        said = b""
        while part := os.read(there, 2**16):
            said += part
        os.close(there)
        os.waitpid(pid, 0)
        if b"Didn't find op" not in said:
            print(name)
"""


def test_operators_of_microcontrollers_are_those_that_tflite_micro_says():
    done = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == MICRO_OPERATORS
