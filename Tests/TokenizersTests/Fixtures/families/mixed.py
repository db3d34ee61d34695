"""Text of ten scripts with emoji, code and odd blanks, made by a generator that MixedText.swift follows step for step."""

MASK = (1 << 64) - 1


class SplitMix64:
    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    def below(self, bound):
        return self.next() % bound


def document(source, seed, size):
    """About `size` characters: words of one script after another, and now and then a fragment as it stands."""
    random = SplitMix64(seed)
    parts, length = [], 0
    while length < size:
        alphabet = source["alphabets"][random.below(len(source["alphabets"]))]
        for _ in range(1 + random.below(6)):
            if random.below(8) == 0:
                part = source["fragments"][random.below(len(source["fragments"]))]
            else:
                part = "".join(alphabet[random.below(len(alphabet))] for _ in range(1 + random.below(9)))
                if random.below(4) == 0:
                    part = part[0].upper() + part[1:] if part[0].isascii() else part
            part += source["separators"][random.below(len(source["separators"]))]
            parts.append(part)
            length += len(part)
    return "".join(parts)
