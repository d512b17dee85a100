"""Names of what can happen to a file that is read."""

from __future__ import annotations

#: A graph of others stands for another network than the one that it was made from, which no reader can tell.
LEGAL = "legal"
SURVIVED = ("refused", "same", LEGAL)  #: outcomes that are none of `FAILURES`
#: Outcomes that must not happen: another network is returned; the process ends; no answer in time; more memory or more
#: time of the processor than allowed; another exception than `ExchangeError`; an error that is not one line naming the
#: file.
FAILURES = ("different", "crash", "hang", "memory", "slow", "exception", "bad message")
