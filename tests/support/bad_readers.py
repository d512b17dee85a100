"""Readers that do what no reader should."""

import os
import time

from lavadl_ref import exchange


def crash(path):
    os.abort()


def hang(path):
    time.sleep(10**6)


def slow(path):
    start = time.process_time()
    while time.process_time() < start + 1:
        pass
    return exchange.read(path)


def memory(path):
    len(bytearray(b"x") * 400_000_000)
    return exchange.read(path)


def another_exception(path):
    raise KeyError("weight")


def no_name(path):
    raise exchange.ExchangeError("bad file")


def two_lines(path):
    raise exchange.ExchangeError(f"{path}: bad\nfile")


def another_network(path):
    return exchange.Network((exchange.Input(shape=(123,)),))
