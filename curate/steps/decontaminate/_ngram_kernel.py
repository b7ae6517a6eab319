"""The kernels that match the words of rows with eval items: n-grams of long texts, and short texts word by word."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.kernels.buffers import grown
from curate.kernels.compile import inline, kernel
from curate.kernels.hash_table import HashTable, find, home, knows
from curate.text.ngrams import gram, power, roll

NONE: Final = np.uint64(0)


class Grams(NamedTuple):
    """The n-grams of long texts, numbered from 0.

    Text `t` has the words `words[word_begins[t]:word_begins[t + 1]]`, and at its places the n-grams
    `grams[begins[t]:begins[t + 1]]`. It is contaminated by a row that shares n-grams over `needs[t]` of its words, if
    the row has words with a content of `content_needed[t]` and `figures_needed[t]` of its numbers (words that are
    `digits`) anywhere, or n-grams over a content of `enough`. `numbers` are the words' places in `vocabulary`,
    `content` is that of all words before each. A `solution` counts in answers only. Every such row has one of the
    n-grams that list the text: n-gram `g` lists the texts `posts[post_begins[g]:post_begins[g + 1]]`. `bloom` contains
    the n-grams with posts.
    """

    n: int
    table: HashTable
    bloom: NDArray[np.uint64]
    grams: NDArray[np.int32]
    begins: NDArray[np.int64]
    words: NDArray[np.uint64]
    word_begins: NDArray[np.int64]
    solution: NDArray[np.bool_]
    needs: NDArray[np.int32]
    vocabulary: HashTable
    numbers: NDArray[np.int32]
    content: NDArray[np.int64]
    content_needed: NDArray[np.int64]
    enough: int
    digits: NDArray[np.bool_]
    figures_needed: NDArray[np.int32]
    posts: NDArray[np.int32]
    post_begins: NDArray[np.int64]


class Shorts(NamedTuple):
    """Short texts, `count` of them: their `vocabulary`, and each by the hash of all its words in `texts`.

    `single` marks the words that are a text, `pairs` is a bit set of the first two words of longer ones, and `bloom`
    contains every prefix of a text. `longest` is the most words of one. `labels` are the sorted hashes of the words
    that may precede a question on its line.
    """

    count: int  # type: ignore[assignment]  # a tuple has a method of this name
    longest: int
    vocabulary: HashTable
    single: NDArray[np.bool_]
    pairs: NDArray[np.uint64]
    bloom: NDArray[np.uint64]
    texts: HashTable
    labels: NDArray[np.uint64]


class TurnWords(NamedTuple):
    """The turns of a batch in order of row, side and turn: turn `s` has the words `words[starts[s]:ends[s]]`.

    `line` marks the first word of each line, `answer` the turns of an assistant.
    """

    words: NDArray[np.uint64]
    line: NDArray[np.bool_]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    row: NDArray[np.int32]
    answer: NDArray[np.bool_]


@inline
def pair_of(first: np.uint64, second: np.uint64, size: int) -> np.uint64:
    """Return the bit of two words among `size` bits, a power of two."""
    return np.uint64(home(roll(first, second, NONE, NONE), size))


@kernel
def prefixes(words: NDArray[np.uint64], begins: NDArray[np.int64], pairs: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the hash of each text up to each of its words; set the bits of the first two words of each."""
    answer = np.empty(len(words), np.uint64)
    for text in range(len(begins) - 1):
        total, first = np.uint64(0), begins[text]
        for place in range(first, begins[text + 1]):
            total = roll(total, words[place], NONE, NONE)
            answer[place] = gram(total, place - first + 1)
        if begins[text + 1] > first + 1:
            bit = pair_of(words[first], words[first + 1], 64 * len(pairs))
            pairs[bit >> np.uint64(6)] |= np.uint64(1) << (bit & np.uint64(63))
    return answer


@kernel
def essential(
    order: NDArray[np.int64], begins: NDArray[np.int64], n: int, needs: NDArray[np.int32]
) -> NDArray[np.bool_]:
    """Mark the n-grams that are needed to find texts; `order` has those of each text, the commonest first.

    The commonest are left out while they cover fewer words than the text needs: a row that has no others cannot match.
    """
    answer = np.ones(len(order), np.bool_)
    held = np.zeros(len(order) + n, np.bool_)
    for text in range(len(needs)):
        base = begins[text]
        # A text has n - 1 words more than places: the last ones share their marks with the next text's first.
        held[base : begins[text + 1] + n] = False
        count = 0
        for place in order[base : begins[text + 1]]:
            more = 0
            for k in range(place, place + n):
                more += not held[k]
            if count + more >= needs[text]:
                continue
            for k in range(place, place + n):
                held[k] = True
            count += more
            answer[place] = False
    return answer


@inline
def opening(turns: TurnWords, s: int, n: int) -> tuple[np.uint64, int]:
    """Return the total of the first n - 1 words of turn `s`, and where the next is; its end, if it has fewer than n."""
    start, end = turns.starts[s], turns.ends[s]
    total = np.uint64(0)
    if end - start < n:
        return total, end
    for j in range(start, start + n - 1):
        total = roll(total, turns.words[j], NONE, NONE)
    return total, start + n - 1


@kernel
def touched(turns: TurnWords, rows: int, index: Grams) -> NDArray[np.bool_]:
    """Return which rows of a batch contain an n-gram that lists a text: no others can match one."""
    answer = np.zeros(rows, np.bool_)
    n, away = index.n, power(index.n)
    for s in range(len(turns.starts)):
        total, at = opening(turns, s, n)
        leaves = NONE
        for j in range(at, turns.ends[s]):
            total = roll(total, turns.words[j], leaves, away)
            leaves = turns.words[j - n + 1]
            key = gram(total, n)
            if not knows(index.bloom, key):
                continue
            number = find(index.table, key)
            if number >= 0 and index.post_begins[number + 1] > index.post_begins[number]:
                answer[turns.row[s]] = True
                break
    return answer


@inline
def _note(
    turns: TurnWords,
    s: int,
    index: Grams,
    mark: int,
    seen: NDArray[np.int32],
    place: NDArray[np.int64],
    asked: NDArray[np.int32],
    candidates: NDArray[np.int32],
    count: int,
) -> int:
    """Record the first position of each n-gram of turn `s` in the row `mark`, and the texts that it lists.

    Line 0 of `seen` and `place` is for any turn, line 1 for answers only; `place` has turn and word.
    """
    n, away = index.n, power(index.n)
    total, at = opening(turns, s, n)
    leaves = NONE
    for j in range(at, turns.ends[s]):
        total = roll(total, turns.words[j], leaves, away)
        leaves = turns.words[j - n + 1]
        number = find(index.table, gram(total, n))
        if number < 0:
            continue
        if turns.answer[s] and seen[1, number] != mark:
            seen[1, number], place[1, 0, number], place[1, 1, number] = mark, s, j - n + 1
        if seen[0, number] == mark:
            continue
        seen[0, number], place[0, 0, number], place[0, 1, number] = mark, s, j - n + 1
        for k in range(index.post_begins[number], index.post_begins[number + 1]):
            text = index.posts[k]
            if asked[text] != mark:
                asked[text] = mark
                candidates[count] = text
                count += 1
    return count


@inline
def _note_words(turns: TurnWords, s: int, index: Grams, mark: int, seen_words: NDArray[np.int32]) -> None:
    """Record the words of texts that are in turn `s`."""
    for j in range(turns.starts[s], turns.ends[s]):
        number = find(index.vocabulary, turns.words[j])
        if number >= 0:
            seen_words[number] = mark


@inline
def _held(
    text: int, index: Grams, mark: int, seen: NDArray[np.int32], place: NDArray[np.int64]
) -> tuple[int, np.signedinteger, int, int]:
    """Return how many words of the text are in n-grams of the row `mark`, their content, and the longest run of them.

    The run is given by its first position in the text and by the n-gram there.
    """
    only = int(index.solution[text])
    base = index.word_begins[text]
    matched, upto, content = 0, 0, np.int64(0)
    longest, begin, run = 0, 0, 0
    before = np.int64(-2)
    for at in range(index.begins[text + 1] - index.begins[text]):
        number = index.grams[index.begins[text] + at]
        if seen[only, number] != mark:
            before = np.int64(-2)
            continue
        fresh = max(upto, at)
        upto = at + index.n
        matched += upto - fresh
        content += index.content[base + upto] - index.content[base + fresh]
        run = run + 1 if place[only, 1, number] == before + 1 else 1
        before = place[only, 1, number]
        if run > longest:
            longest, begin = run, at - run + 1
    return matched, content, begin, index.grams[index.begins[text] + begin]


@inline
def _says_as_much(
    text: int, index: Grams, mark: int, seen_words: NDArray[np.int32], covered_content: np.signedinteger
) -> bool:
    """Return whether the row `mark` has enough of the text's numbers, and of what its words say."""
    figures, content = 0, 0
    for k in range(index.word_begins[text], index.word_begins[text + 1]):
        if seen_words[index.numbers[k]] == mark:
            figures += index.digits[k]
            content += index.content[k + 1] - index.content[k]
    says = content >= index.content_needed[text] or covered_content >= index.enough
    return bool(says and figures >= index.figures_needed[text])


@inline
def _stretch(turns: TurnWords, s: int, at: int, index: Grams, text: int, begin: int) -> tuple[int, int, int]:
    """Return the longest run of equal words around an equal n-gram: its start in turn and text, and its words."""
    first, last = index.word_begins[text], index.word_begins[text + 1]
    i, j = first + begin, at
    while i > first and j > turns.starts[s] and index.words[i - 1] == turns.words[j - 1]:
        i, j = i - 1, j - 1
    size = 0
    while i + size < last and j + size < turns.ends[s] and index.words[i + size] == turns.words[j + size]:
        size += 1
    return j - turns.starts[s], i - first, size


@kernel
def covered(turns: TurnWords, rows: NDArray[np.bool_], index: Grams) -> tuple[NDArray[np.int32], int]:
    """Return the texts that these rows contain, one line per hit in order of rows, and the number of lines.

    A line is the turn with the longest run of shared words, the text, its number of matched words, the start of the run
    in the turn and in the text, and the words of the run.
    """
    grams, texts = len(index.table.keys) + 1, len(index.needs)  # the last one is in no row
    seen, asked = np.zeros((2, grams), np.int32), np.zeros(texts, np.int32)
    seen_words = np.zeros(len(index.vocabulary.keys), np.int32)
    place, candidates = np.empty((2, 2, grams), np.int64), np.empty(texts, np.int32)
    out, lines = np.empty((64, 6), np.int32), 0
    s = 0
    while s < len(turns.row):
        row, mark, count, first = turns.row[s], s + 1, 0, s
        while s < len(turns.row) and turns.row[s] == row:
            if rows[row]:
                count = _note(turns, s, index, mark, seen, place, asked, candidates, count)
            s += 1
        for text in candidates[:count]:
            matched, content, begin, number = _held(text, index, mark, seen, place)
            if matched < index.needs[text]:
                continue
            while first < s:
                _note_words(turns, first, index, mark, seen_words)
                first += 1
            if not _says_as_much(text, index, mark, seen_words, content):
                continue
            only = int(index.solution[text])
            turn, word = place[only, 0, number], place[only, 1, number]
            at, begin, size = _stretch(turns, turn, word, index, text, begin)
            if lines == len(out):
                out = grown(out)
            out[lines, 0], out[lines, 1], out[lines, 2] = turn, text, matched
            out[lines, 3], out[lines, 4], out[lines, 5] = at, begin, size
            lines += 1
    return out, lines


@inline
def _is_label(labels: NDArray[np.uint64], word: np.uint64) -> bool:
    low, high = 0, len(labels)
    while low < high:
        middle = (low + high) // 2
        if labels[middle] < word:
            low = middle + 1
        else:
            high = middle
    return bool(low < len(labels) and labels[low] == word)


@inline
def _alone(turns: TurnWords, s: int, start: int, end: int, labels: NDArray[np.uint64]) -> bool:
    """Return whether the words are whole lines of their turn, apart from one label before them."""
    if end < turns.ends[s] and not turns.line[end]:
        return False
    return turns.line[start] or (
        start > turns.starts[s] and turns.line[start - 1] and _is_label(labels, turns.words[start - 1])
    )


@inline
def _begins(turns: TurnWords, j: int, end: int, number: int, index: Shorts) -> bool:
    """Return whether a short text may begin at word `j`, whose number in the vocabulary is `number`."""
    if number < 0 or j + 1 == end:
        return number >= 0 and index.single[number]
    bit = pair_of(turns.words[j], turns.words[j + 1], 64 * len(index.pairs))
    return ((index.pairs[bit >> np.uint64(6)] >> (bit & np.uint64(63))) & np.uint64(1)) != 0 or index.single[number]


@kernel
def runs(turns: TurnWords, index: Shorts) -> tuple[NDArray[np.int32], int, NDArray[np.int64]]:
    """Return the short texts that turns contain as runs of words, how many, and how many rows contain each word.

    A line is the turn, the text, its start in the turn, its words, and whether it is alone (1) or within longer text
    (0). A text is reported once per row: where it is first alone, or else where it first is.
    """
    frequency = np.zeros(len(index.vocabulary.keys) + 1, np.int64)  # the last is for words outside it
    seen = np.zeros(len(frequency), np.int32)
    hit_in, line_of = np.zeros(index.count, np.int32), np.zeros(index.count, np.int64)
    out, lines = np.empty((64, 5), np.int32), 0
    for s in range(len(turns.starts)):
        start, end, mark = turns.starts[s], turns.ends[s], turns.row[s] + 1
        for j in range(start, end):
            number = find(index.vocabulary, turns.words[j])
            place = number if number >= 0 else len(frequency) - 1
            frequency[place] += seen[place] != mark
            seen[place] = mark
            if not _begins(turns, j, end, number, index):
                continue
            total = np.uint64(0)
            for k in range(min(index.longest, end - j)):
                total = roll(total, turns.words[j + k], NONE, NONE)
                key = gram(total, k + 1)
                if not knows(index.bloom, key):
                    break
                text = find(index.texts, key)
                if text < 0:
                    continue
                alone = _alone(turns, s, j, j + k + 1, index.labels)
                if lines == len(out):
                    out = grown(out)
                lines = _put(out, lines, s, text, j - start, k + 1, alone, mark, hit_in, line_of)
    return out, lines, frequency


@inline
def _put(
    out: NDArray[np.int32],
    lines: int,
    s: int,
    text: int,
    at: int,
    size: int,
    alone: bool,  # noqa: FBT001
    mark: int,
    hit_in: NDArray[np.int32],
    line_of: NDArray[np.int64],
) -> int:
    """Write a hit of a short text unless its row has a better one; return the number of lines."""
    line = lines
    if hit_in[text] == mark:
        line = line_of[text]
        if out[line, 4] or not alone:
            return lines
    hit_in[text], line_of[text] = mark, line
    out[line, 0], out[line, 1], out[line, 2], out[line, 3], out[line, 4] = s, text, at, size, alone
    return max(lines, line + 1)
