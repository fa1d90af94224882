"""The kill drill: ``kill -9`` at random moments of real processes under load, and then everything that was handed out is held
against the log.

    python -m tests.faults.drill --victim gateway --kills 200 --seed 1

After each kill: every answer of which a client got a byte that names a receipt has its leaf, with exactly these bytes; every
receipt verifies, and is of the leaf that the log has; no index was given twice. At the end, and every 50 kills: the whole store
verifies with nothing open or missing, every head that was ever seen is one of this log, and what ``fsck`` checks is in order.

``place`` starts and ends processes, ``client`` and ``program`` are two of them, ``handed_out`` reads what these kept,
``promises`` holds it against the log, ``victims`` says who is killed and when, ``loop`` does it again and again.
"""

from tests.faults.drill.handed_out import Answer
from tests.faults.drill.loop import Drill, Echo
from tests.faults.drill.place import CLI, Broken
from tests.faults.drill.victims import VICTIMS

__all__ = ["CLI", "VICTIMS", "Answer", "Broken", "Drill", "Echo"]
