"""The test protos, compiled once a process into a pool of their own: nothing is left behind on disk or registered."""

import tempfile
from functools import cache
from importlib.resources import files
from pathlib import Path

from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_tools import protoc

from ingestor.messages import descriptor_of

HERE = Path(__file__).parent


def sample(full_name: str) -> type[Message]:
    """Return the class of a message of this directory: `shop.Order` is `samples.shop.Order`."""
    return GetMessageClass(_pool().FindMessageTypeByName(f"samples.{full_name}"))


def described(full_name: str) -> Descriptor:
    """Return the descriptor of a message of this directory."""
    return descriptor_of(sample(full_name))


def alone(schema: DescriptorProto) -> type[Message]:
    """Return a class made from this one descriptor and nothing else, as BigQuery makes its reader."""
    pool = DescriptorPool()
    pool.Add(FileDescriptorProto(name="alone.proto", message_type=[schema]))
    return GetMessageClass(pool.FindMessageTypeByName(schema.name))


@cache
def _pool() -> DescriptorPool:
    includes = [f"-I{HERE}", f"-I{HERE.parents[1] / 'proto'}", f"-I{files('grpc_tools') / '_proto'}"]
    protos = sorted(str(path) for path in HERE.glob("*.proto"))
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "samples.binpb"
        code = protoc.main(["protoc", *includes, "--include_imports", f"--descriptor_set_out={out}", *protos])
        assert code == 0, "protoc refuses a test proto; its message is on stderr"
        compiled = FileDescriptorSet.FromString(out.read_bytes())
    pool = DescriptorPool()
    for file in compiled.file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool
