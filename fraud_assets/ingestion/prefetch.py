"""An iterator that computes its items in a thread, a few steps ahead of the consumer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from queue import Full, Queue
from threading import Event, Thread
from typing import Any, TypeVar

T = TypeVar("T")


def prefetch(items: Iterable[T], depth: int = 2) -> Iterator[T]:
    """Iterate over `items` in a thread while the caller works on the previous item.

    An exception is raised after the items before it. The thread ends when the iterator is exhausted or closed.

    Args:
        depth: largest number of items that wait in the queue.
    """
    queue: Queue[tuple[bool, Any]] = Queue(maxsize=depth)
    stopped = Event()

    def put(item: tuple[bool, Any]) -> bool:
        while not stopped.is_set():
            try:
                queue.put(item, timeout=0.1)
                return True
            except Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not put((True, item)):
                    return
            put((False, None))
        except BaseException as error:  # raised again in the consumer's thread
            put((False, error))

    thread = Thread(target=work, name="source", daemon=True)
    thread.start()
    try:
        while True:
            more, item = queue.get()
            if not more:
                if item is not None:
                    raise item
                return
            yield item
    finally:
        stopped.set()
        thread.join()
