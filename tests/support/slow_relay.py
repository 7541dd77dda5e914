"""A relay that accepts connections itself and is far from its destination, as a satellite's accelerator is."""

import asyncio
import threading


class SlowRelay:
    """Every byte, and the connection itself, arrives at the other side half a `round_trip` (in seconds) later."""

    def __init__(self, destination, round_trip):
        self._destination = destination
        self._delay = round_trip / 2
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.address = self._server.sockets[0].getsockname()[:2]
        self._thread = threading.Thread(target=self._loop.run_forever, name="slow relay", daemon=True)
        self._thread.start()

    async def _accept(self, near, to_near):
        queue = asyncio.Queue()
        reading = self._loop.create_task(self._read(near, queue))
        await asyncio.sleep(self._delay)
        try:
            far, to_far = await asyncio.open_connection(*self._destination)
        except OSError:
            to_near.transport.abort()
            return
        back = asyncio.Queue()
        await asyncio.gather(reading, self._read(far, back), self._write(queue, to_far), self._write(back, to_near))

    async def _read(self, source, queue):
        """Ends with an empty piece, whatever ended the stream."""
        piece = True
        while piece:
            try:
                piece = await source.read(65536)
            except OSError:
                piece = b""
            queue.put_nowait((self._loop.time() + self._delay, piece))

    async def _write(self, queue, sink):
        piece = True
        while piece:
            due, piece = await queue.get()
            await asyncio.sleep(due - self._loop.time())
            try:
                sink.write(piece)
                await sink.drain()
            except OSError:
                break
        sink.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        async def stop():
            self._server.close()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

        asyncio.run_coroutine_threadsafe(stop(), self._loop).result(timeout=30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
