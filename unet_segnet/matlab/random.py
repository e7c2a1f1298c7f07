"""MATLAB's default random stream: Mersenne Twister, 53-bit uniforms, ziggurat normals."""

import math

import numpy as np

_TAIL_START = 3.6541528853610088
_NUM_LEVELS = 256


def _ziggurat_edges() -> np.ndarray:
    """Right edges of the 256 strips of equal area under exp(-x^2/2), widest first; (257,) float64."""
    height = math.exp(-(_TAIL_START**2) / 2)
    area = _TAIL_START * height + math.sqrt(math.pi / 2) * math.erfc(_TAIL_START / math.sqrt(2))
    edges = [area / height, _TAIL_START]
    while len(edges) < _NUM_LEVELS:
        edges.append(math.sqrt(-2 * math.log(area / edges[-1] + math.exp(-(edges[-1] ** 2) / 2))))
    return np.array([*edges, 0.0])


_EDGES = _ziggurat_edges()
_HEIGHTS = np.exp(-(_EDGES**2) / 2)


class RandomStream:
    """The numbers that MATLAB draws after `rng(seed)` ('twister', normals by 'Ziggurat').

    Successive calls go on in one stream, as in MATLAB. Shapes are given as in NumPy (`rand(5)` is five
    numbers, not a 5x5 matrix) but filled column-major, as in MATLAB: the first index runs fastest.

    Args:
        seed: 0 .. 2^32-1; 0 is MATLAB's start-up state and equals 5489.

    Source: MATLAB R2020a: rng, rand, randn, randperm. Uniforms equal NumPy's legacy RandomState.
    """

    def __init__(self, seed: int = 0):
        self._words = np.random.RandomState(seed or 5489)  # the legacy generator is MATLAB's

    def rand(self, *shape: int) -> np.ndarray:
        """Uniform numbers in [0, 1), 53 bits; float64 of the given shape (MATLAB: rand)."""
        return self._words.random_sample(math.prod(shape)).reshape(shape, order="F")

    def randn(self, *shape: int) -> np.ndarray:
        """Standard normal numbers; float64 of the given shape (MATLAB: randn)."""
        found, missing = [np.empty(0)], math.prod(shape)
        while missing:
            # A pair of words gives at most one number, so a block of `missing` pairs never draws too far.
            found.append(self._normals(missing))
            missing -= len(found[-1])
        return np.concatenate(found).reshape(shape, order="F")

    def randperm(self, n: int) -> np.ndarray:
        """A random permutation of 1 .. n, ONE-BASED as in MATLAB; (n,) int64 (MATLAB: randperm).

        It is the sort order of n uniform numbers, and draws exactly these.
        """
        return np.argsort(self.rand(n), kind="stable") + 1

    def _normals(self, num_pairs: int) -> np.ndarray:
        """The normals that the next pairs of 32-bit words give; draws on if the last of them needs more.

        Every step of the ziggurat, uniforms included, uses up whole pairs. So all pairs are read as
        candidates at once, and only the few outside their strip's inner rectangle (1 %) are followed singly.
        """
        words = self._words.randint(0, 2**32, (num_pairs, 2), dtype=np.uint32).astype(np.int64)
        first, second = words.T
        level = 255 - (second >> 24)
        signed = 2.0 * (((first >> 3) << 24) + (second & 0xFFFFFF)) / 2**53 - 1.0
        values = signed * _EDGES[level]
        uniforms = ((first >> 5) * 2**26 + (second >> 6)) / 2**53
        keep = np.abs(values) < _EDGES[level + 1]

        end = 0  # the first pair not used up yet

        def uniform() -> float:
            nonlocal end
            end += 1
            return uniforms[end - 1] if end <= num_pairs else self._words.random_sample()

        for pair in np.flatnonzero(~keep):
            if pair < end:
                continue
            end = pair + 1
            strip = level[pair]
            if strip == 0:
                keep[pair], values[pair] = True, math.copysign(_tail(uniform), signed[pair])
            else:
                height = _HEIGHTS[strip] + uniform() * (_HEIGHTS[strip + 1] - _HEIGHTS[strip])
                keep[pair] = height < math.exp(-(values[pair] ** 2) / 2)
            keep[pair + 1 : end] = False
        return values[keep]


def _tail(uniform) -> float:
    """A normal number beyond the last edge (Marsaglia's method), from a source of uniforms."""
    while True:
        beyond = -math.log(uniform()) / _TAIL_START
        if -2 * math.log(uniform()) > beyond**2:
            return _TAIL_START + beyond
