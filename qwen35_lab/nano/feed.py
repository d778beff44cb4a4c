"""The batches of a training, one for each step, prepared by other processes while the model learns from the last.

A batch follows from its step, so who prepared it, and when, changes nothing. On a CPU the model takes far longer than
its batch; on a GPU it would wait.
"""

from collections.abc import Callable, Iterator

from torch.utils.data import DataLoader, Dataset

from .pack import Batch

AHEAD = 2  # batches that a process may be ahead


class Feed:
    """Call it with a step; steps that follow one another are prepared ahead.

    Args:
        make: step -> its batch; picklable where processes are spawned.
        workers: processes; 0 prepares a batch when it is asked for.
    """

    def __init__(self, make: Callable[[int], Batch], workers: int = 0):
        self._make, self._workers = make, workers
        self._next, self._coming = -1, iter(())

    def __call__(self, step: int) -> Batch:
        if not self._workers:
            return self._make(step)
        if step != self._next:
            self._coming = self._from(step)
        self._next = step + 1
        return next(self._coming)

    def _from(self, step: int) -> Iterator[Batch]:
        steps = _Steps(self._make, step)
        return iter(DataLoader(steps, batch_size=None, num_workers=self._workers, prefetch_factor=AHEAD))


class _Steps(Dataset[Batch]):
    def __init__(self, make: Callable[[int], Batch], first: int):
        self.make, self.first = make, first

    def __len__(self) -> int:
        return 2**31 - self.first

    def __getitem__(self, index: int) -> Batch:
        return self.make(self.first + index)
