"""The service under load: answers GET, POST and slow requests with its version, and ends at once when told to stop.

Ends at once: what it is answering then is lost, so a rollout that loses nothing has waited for it.
"""

import asyncio
import os
import signal
from pathlib import Path

VERSION = Path(__file__).with_name("version").read_text(encoding="utf-8").strip()
SLOW_SECONDS = 2
PORT = 8000


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one connection until its client closes it."""
    try:
        while request := (await reader.readuntil(b"\r\n\r\n")).decode("latin-1"):
            line, *headers = request.split("\r\n")
            lengths = [int(h.split(":")[1]) for h in headers if h.lower().startswith("content-length:")]
            await reader.readexactly(sum(lengths))
            if " /slow " in line:
                await asyncio.sleep(SLOW_SECONDS)
            body = f"{VERSION}\n".encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main() -> None:
    """Serve for ever."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, os._exit, 0)
    server = await asyncio.start_server(serve, "", PORT)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
