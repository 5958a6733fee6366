"""Passes TCP connections on: `python forward.py LISTEN TARGET`, both as ADDRESS:PORT.

Two of these make a registry on this machine's loopback appear on a VM's, by way of the link between them, so that
one image reference is right on both sides. Standard library only.
"""

import asyncio
import contextlib
import sys
from asyncio import StreamReader, StreamWriter


async def pump(source: StreamReader, sink: StreamWriter) -> None:
    """Passes one direction on to its end, and then says so."""
    while data := await source.read(1 << 18):
        sink.write(data)
        await sink.drain()
    sink.write_eof()


async def serve(listen: str, target: str) -> None:
    """Listens for ever."""
    address, port = target.rsplit(":", 1)

    async def connect(reader: StreamReader, writer: StreamWriter) -> None:
        other = writer
        # Whichever side breaks off, the other gets to know by its connection's end.
        with contextlib.suppress(OSError):
            back, other = await asyncio.open_connection(address, int(port), limit=1 << 18)
            await asyncio.gather(pump(reader, other), pump(back, writer))
        for end in (other, writer):
            end.transport.abort()

    here, port_here = listen.rsplit(":", 1)
    server = await asyncio.start_server(connect, here, int(port_here), limit=1 << 18)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
