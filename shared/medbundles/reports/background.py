"""A second thread, for what need not be waited for."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class Background:
    """Does jobs one after the other in one thread, such as drawing and encoding pictures while a network computes.

    Args:
        most: jobs that may wait; then the next one has to.

    Example:
        >>> done = []
        >>> background = Background()
        >>> background.do(lambda: done.append(1))
        >>> background.wait()
        >>> done
        [1]
    """

    def __init__(self, most: int = 32):
        self.most, self.pool, self.waiting = most, ThreadPoolExecutor(1), deque[Future]()

    def do(self, job: Callable[[], object]) -> None:
        """Put a job at the end of the queue.

        Raises:
            Exception: what an earlier job raised; those behind it that have not begun are not done then.
        """
        while self.waiting and (self.waiting[0].done() or len(self.waiting) >= self.most):
            self._finish_first()
        self.waiting.append(self.pool.submit(job))

    def wait(self) -> None:
        """Wait for all jobs; raises as `do`."""
        while self.waiting:
            self._finish_first()

    def _finish_first(self) -> None:
        try:
            self.waiting.popleft().result()
        except Exception:
            self.waiting.clear()
            self.pool.shutdown(cancel_futures=True)
            raise

    def end(self) -> None:
        """Do what is waiting, and end the thread; what is raised then is lost, so `wait` stands before it."""
        self.pool.shutdown()
