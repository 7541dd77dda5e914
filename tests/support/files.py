"""Files with different contents."""

import hashlib
import random

from support.waiting import MIB


def sha256_of(path):
    sha = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(MIB):
            sha.update(piece)
    return sha.hexdigest()


def random_file(path, size, seed):
    source = random.Random(seed)
    with open(path, "wb") as file:
        for _ in range(size // MIB):
            file.write(source.randbytes(MIB))
        file.write(source.randbytes(size % MIB))
