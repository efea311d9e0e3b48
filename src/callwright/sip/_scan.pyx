"""The native twin of `callwright.sip.scan`.

It does the ordinary way of nearly every message, and hands what it doubts to the pure twin: so there is one
judge of what is broken, and the two cannot differ in their errors. What stands here has to be right about one
thing only: what it says yes to.

Octets of the wire are read through `at`, which checks the bounds, or within ends that memchr has found.
"""

import os

if os.environ.get("CALLWRIGHT_PURE"):
    raise ImportError("CALLWRIGHT_PURE asks for the pure twin")

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Malloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.string cimport memchr, memcmp, memcpy

from callwright.sip import headers as _headers
from callwright.sip import scan as _pure
from callwright.sip import status as _status

cdef object Scan = _pure.Scan
cdef object pure_scan = _pure.scan
cdef object header_key = _headers.header_key

# Classes of octets

cdef enum:
    TOKEN = 1
    PARAMETER = 2  # letters, digits, - _ .
    USER = 4
    DISPLAY = 8  # letters, digits, . - and space
    ALPHA = 16
    LABEL = 32  # letters, digits, -
    DIGIT = 64
    UPPER = 128

cdef unsigned char CLASS[256]


cdef int _fill_classes() except -1:
    cdef int octet
    cdef unsigned char found
    cdef str letter
    for octet in range(256):
        found = 0
        if octet < 128:
            letter = chr(octet)
            if letter.isalpha():
                found |= ALPHA
                if letter.isupper():
                    found |= UPPER
            if letter.isdigit():
                found |= DIGIT
            if letter.isalnum() or letter == "-":
                found |= LABEL
            if letter.isalnum() or letter in "-_.":
                found |= PARAMETER
            if letter.isalnum() or letter in ".- ":
                found |= DISPLAY
            if letter.isalnum() or letter in "-.!%*_+`'~":
                found |= TOKEN
            if letter.isalnum() or letter in "-_.!~*'()&=+$":
                found |= USER
        CLASS[octet] = found
    return 0


_fill_classes()

cdef struct Text:
    const unsigned char *data
    Py_ssize_t size


cdef inline int at(const Text *text, Py_ssize_t index) noexcept nogil:
    """The octet there, -1 outside."""
    return text.data[index] if 0 <= index < text.size else -1


cdef inline bint is_of(const Text *text, Py_ssize_t index, unsigned char kind) noexcept nogil:
    return 0 <= index < text.size and CLASS[text.data[index]] & kind != 0


cdef inline Py_ssize_t skip(const Text *text, Py_ssize_t index, unsigned char kind) noexcept nogil:
    while is_of(text, index, kind):
        index += 1
    return index


cdef inline bint begins(const Text *text, Py_ssize_t index, const char *word, Py_ssize_t size) noexcept nogil:
    return index >= 0 and index + size <= text.size and memcmp(text.data + index, word, size) == 0


# The quick grammar of callwright.sip.validity: each takes a position and returns the one behind, or -1.

cdef Py_ssize_t past_octet(const Text *text, Py_ssize_t index) noexcept nogil:
    cdef int value = 0
    cdef int count = 0
    while count < 4 and is_of(text, index + count, DIGIT):
        value = 10 * value + at(text, index + count) - c"0"
        count += 1
    if count == 0 or count > 3 or value > 255 or (count > 1 and at(text, index) == c"0"):
        return -1
    return index + count


cdef Py_ssize_t past_host(const Text *text, Py_ssize_t index) noexcept nogil:
    cdef int part
    if is_of(text, index, ALPHA):
        while True:
            index = skip(text, index + 1, LABEL)
            if at(text, index) != c"." or not is_of(text, index + 1, ALPHA):
                return index
            index += 1
    for part in range(4):
        if part:
            if at(text, index) != c".":
                return -1
            index += 1
        index = past_octet(text, index)
        if index < 0:
            return -1
    return index


cdef Py_ssize_t past_port(const Text *text, Py_ssize_t index) noexcept nogil:
    """A colon with a port, or nothing."""
    cdef Py_ssize_t end, place
    cdef int value = 0
    if at(text, index) != c":":
        return index
    index += 1
    end = skip(text, index, DIGIT)
    if end == index or end - index > 5 or (end - index == 5 and at(text, index) == c"0"):
        return -1
    for place in range(index, end):
        value = 10 * value + at(text, place) - c"0"
    return end if value < 65536 else -1


cdef Py_ssize_t past_parameters(const Text *text, Py_ssize_t index, unsigned char value) noexcept nogil:
    cdef Py_ssize_t end
    while at(text, index) == c";":
        end = skip(text, index + 1, PARAMETER)
        if end == index + 1:
            return -1
        index = end
        if at(text, index) == c"=":
            end = skip(text, index + 1, value)
            if end == index + 1:
                return -1
            index = end
    return index


cdef Py_ssize_t past_uri(const Text *text, Py_ssize_t index) noexcept nogil:
    """A SIP or SIPS URI without its parameters."""
    cdef Py_ssize_t end
    if begins(text, index, b"sip:", 4):
        index += 4
    elif begins(text, index, b"sips:", 5):
        index += 5
    else:
        return -1
    end = skip(text, index, USER)
    if end > index and at(text, end) == c"@":
        index = end + 1
    index = past_host(text, index)
    return index if index < 0 else past_port(text, index)


cdef bint is_address(const Text *text) noexcept nogil:
    cdef Py_ssize_t index = 0
    if at(text, 0) == c'"':
        index = 1
        while index < text.size and text.data[index] != c'"':
            if text.data[index] == c"\\":
                return False
            index += 1
        index += 1
        if at(text, index) == c" ":
            index += 1
        if at(text, index) != c"<":
            return False
    else:
        index = skip(text, 0, DISPLAY)
        if at(text, index) != c"<":
            index = past_uri(text, 0)
            return index >= 0 and past_parameters(text, index, TOKEN) == text.size
    index = past_uri(text, index + 1)
    if index < 0:
        return False
    index = past_parameters(text, index, PARAMETER)
    return index >= 0 and at(text, index) == c">" and past_parameters(text, index + 1, TOKEN) == text.size


cdef bint is_via(const Text *text) noexcept nogil:
    cdef Py_ssize_t index = 8
    if not begins(text, 0, b"SIP/2.0/", 8):
        return False
    index = skip(text, index, UPPER)
    if index == 8 or at(text, index) != c" ":
        return False
    index = past_host(text, index + 1)
    if index >= 0:
        index = past_port(text, index)
    return index >= 0 and past_parameters(text, index, TOKEN) == text.size


cdef bint is_cseq(const Text *text, const Text *method) noexcept nogil:
    """`method` is empty for a response, whose CSeq may be of any."""
    cdef Py_ssize_t index = skip(text, 0, DIGIT)
    if not 1 <= index <= 9 or at(text, index) != c" ":
        return False
    index += 1
    if index == text.size or skip(text, index, TOKEN) != text.size:
        return False
    return method.size == 0 or (
        text.size - index == method.size and memcmp(text.data + index, method.data, method.size) == 0
    )


cdef bint is_call_id(const Text *text) noexcept nogil:
    cdef Py_ssize_t index
    for index in range(text.size):
        if not 32 < text.data[index] < 127:  # there are spaces beyond ASCII: the pure twin knows them
            return False
    return text.size > 0


cdef int number_of(const Text *text) noexcept nogil:
    """Of at most nine digits, else -1."""
    cdef int value = 0
    cdef Py_ssize_t index
    if not 1 <= text.size <= 9:
        return -1
    for index in range(text.size):
        if not is_of(text, index, DIGIT):
            return -1
        value = 10 * value + text.data[index] - c"0"
    return value


# Names that were seen, so that each is decoded and found to be a token once. Bounded, since strangers choose
# what is in it; what is in it stays.

cdef enum:
    OTHER = 0
    VIA = 1
    FROM = 2
    TO = 3
    CALL_ID = 4
    CSEQ = 5
    CONTACT = 6
    MAX_FORWARDS = 7
    CONTENT_LENGTH = 8
    CONTENT_TYPE = 9
    KINDS = 10

KINDS_BY_KEY = {
    "via": VIA,
    "from": FROM,
    "to": TO,
    "call-id": CALL_ID,
    "cseq": CSEQ,
    "contact": CONTACT,
    "max-forwards": MAX_FORWARDS,
    "content-length": CONTENT_LENGTH,
    "content-type": CONTENT_TYPE,
}

cdef enum:
    SLOTS = 2048  # a power of two
    MOST = 768
    LONGEST = 64

cdef struct Name:
    Py_ssize_t size
    int kind
    unsigned char octets[LONGEST]
    PyObject *name
    PyObject *key

cdef Name *names = <Name *>PyMem_Malloc(SLOTS * sizeof(Name))
cdef int known = 0
if names == NULL:
    raise MemoryError
for _slot in range(SLOTS):
    names[<int>_slot].size = 0


cdef Name *look_up(const unsigned char *octets, Py_ssize_t size) except? NULL:
    """The entry of a name of 1 to 64 octets; NULL when it is no token or there is no room for it."""
    global known
    cdef unsigned int hashed = <unsigned int>size
    cdef Py_ssize_t index
    cdef Text text
    cdef Name *entry
    for index in range(size):
        hashed = hashed * 31 + octets[index]
    hashed ^= hashed >> 11
    while True:
        entry = &names[hashed & (SLOTS - 1)]
        if entry.size == 0:
            break
        if entry.size == size and memcmp(entry.octets, octets, size) == 0:
            return entry
        hashed += 1
    text.data, text.size = octets, size
    if known >= MOST or skip(&text, 0, TOKEN) != size:
        return NULL
    name = PyUnicode_DecodeUTF8(<const char *>octets, size, NULL)
    key = header_key(name)
    memcpy(entry.octets, octets, size)
    entry.kind = KINDS_BY_KEY.get(key, OTHER)
    Py_INCREF(name)
    Py_INCREF(key)
    entry.name, entry.key = <PyObject *>name, <PyObject *>key
    entry.size = size
    known += 1
    return entry


for _spelling in _headers.USUAL_SPELLINGS:
    _octets = _spelling.encode()
    look_up(_octets, len(_octets))

cdef dict METHODS = {method: method for method in _status.KNOWN_METHODS}


cdef inline object text_of(const unsigned char *octets, Py_ssize_t size):
    return PyUnicode_DecodeUTF8(<const char *>octets, size, "surrogateescape")


cdef class _Cut:
    """What the ordinary way found, while it is being found."""

    cdef Text start
    cdef list fields
    cdef dict index
    cdef Py_ssize_t body
    cdef Text firsts[KINDS]
    cdef int counts[KINDS]
    cdef bint sound


cdef bint cut(_Cut found, bytes message, Py_ssize_t max_start_line, Py_ssize_t max_head, Py_ssize_t max_fields,
              Py_ssize_t max_name, Py_ssize_t max_value, bint judged) except -1:
    """Start line, fields and body offset of an ordinary message; false for one that is not. With `judged` the
    index is made as well, and each Via and Contact looked at."""
    cdef Text data
    cdef const unsigned char *line
    cdef const unsigned char *stop
    cdef const unsigned char *colon
    cdef const unsigned char *begin
    cdef const unsigned char *end
    cdef Py_ssize_t left, size
    cdef Name *entry
    cdef Text value
    cdef object name, text
    cdef list fields = []
    cdef list held
    cdef dict index = {}
    cdef int kind
    data.data = <const unsigned char *>PyBytes_AS_STRING(message)
    data.size = PyBytes_GET_SIZE(message)
    end = data.data + data.size
    line = data.data
    while line < end and (line[0] == c"\r" or line[0] == c"\n"):
        line += 1
    begin = line
    stop = <const unsigned char *>memchr(line, c"\n", end - line) if line < end else NULL
    if stop == NULL or max_name < LONGEST:
        return False
    size = stop - line - 1
    if size < 1 or (stop - 1)[0] != c"\r" or size > max_start_line or memchr(line, c"\r", size) != NULL:
        return False
    found.start.data, found.start.size = line, size
    found.sound = True
    for kind in range(KINDS):
        found.counts[kind] = 0
    while True:
        line = stop + 1
        left = end - line
        stop = <const unsigned char *>memchr(line, c"\n", left) if left > 0 else NULL
        if stop == NULL or stop == line or (stop - 1)[0] != c"\r":
            return False
        size = stop - line - 1
        if size == 0:
            break
        if memchr(line, c"\r", size) != NULL or len(fields) >= max_fields:
            return False
        colon = <const unsigned char *>memchr(line, c":", size)
        if colon == NULL or not 1 <= colon - line <= LONGEST:
            return False
        entry = look_up(line, colon - line)
        if entry == NULL:
            return False
        value.data, value.size = colon + 1, size - (colon + 1 - line)
        if value.size > max_value:
            return False
        while value.size > 0 and (value.data[0] == c" " or value.data[0] == c"\t"):
            value.data += 1
            value.size -= 1
        while value.size > 0 and (value.data[value.size - 1] == c" " or value.data[value.size - 1] == c"\t"):
            value.size -= 1
        name, text = <object>entry.name, text_of(value.data, value.size)
        fields.append((name, text))
        if not judged:
            continue
        key = <object>entry.key
        held = <list>index.get(key)
        if held is None:
            index[key] = [text]
        else:
            held.append(text)
        kind = entry.kind
        if kind == OTHER:
            continue
        if found.counts[kind] == 0:
            found.firsts[kind] = value
        found.counts[kind] += 1
        if kind == VIA:
            if not is_via(&value):
                found.sound = False
        elif kind == CONTACT and not is_address(&value):
            found.sound = False
    if line - 2 - begin > max_head:
        return False
    found.fields, found.index, found.body = fields, index, stop + 1 - data.data
    return True


def scan(bytes data not None, Py_ssize_t max_start_line, Py_ssize_t max_head, Py_ssize_t max_fields,
         Py_ssize_t max_name, Py_ssize_t max_value):
    """As `callwright.sip.scan.scan`."""
    cdef _Cut found = _Cut.__new__(_Cut)
    if not cut(found, data, max_start_line, max_head, max_fields, max_name, max_value, False):
        return pure_scan(data, max_start_line, max_head, max_fields, max_name, max_value)
    return Scan(text_of(found.start.data, found.start.size), found.fields, found.body, False)


cdef bint is_sound(_Cut found, const Text *method) noexcept:
    """As `callwright.sip.validity.is_sound`."""
    cdef int *counts = found.counts
    cdef Text *firsts = found.firsts
    return (
        found.sound
        and counts[VIA] > 0
        and counts[TO] == 1
        and counts[FROM] == 1
        and counts[CALL_ID] == 1
        and counts[CSEQ] == 1
        and is_cseq(&firsts[CSEQ], method)
        and is_address(&firsts[TO])
        and is_address(&firsts[FROM])
        and is_call_id(&firsts[CALL_ID])
        and counts[CONTENT_TYPE] < 2
        and (counts[CONTENT_LENGTH] == 0 or counts[CONTENT_LENGTH] == 1)
        and (counts[MAX_FORWARDS] == 0 or counts[MAX_FORWARDS] == 1)
        and (counts[MAX_FORWARDS] == 0 or number_of(&firsts[MAX_FORWARDS]) >= 0)
    )


def read_sound(bytes data not None, Py_ssize_t max_start_line, Py_ssize_t max_head, Py_ssize_t max_fields,
               Py_ssize_t max_name, Py_ssize_t max_value):
    """As `callwright.sip.scan.read_sound` promises: None is a doubt, not a verdict."""
    cdef _Cut found = _Cut.__new__(_Cut)
    cdef Text *line
    cdef Text method
    cdef Py_ssize_t index, end
    cdef int status = 0
    cdef Py_ssize_t length = -1
    cdef object first = None
    cdef object second
    if not cut(found, data, max_start_line, max_head, max_fields, max_name, max_value, True):
        return None
    line = &found.start
    method.data, method.size = line.data, 0
    if begins(line, 0, b"SIP/2.0 ", 8):
        if not (line.size >= 11 and c"1" <= line.data[8] <= c"6" and is_of(line, 9, DIGIT) and is_of(line, 10, DIGIT)):
            return None
        status = 100 * (line.data[8] - c"0") + 10 * (line.data[9] - c"0") + line.data[10] - c"0"
        if line.size == 11:
            second = ""
        elif line.data[11] == c" ":
            second = text_of(line.data + 12, line.size - 12)
        else:
            return None
    else:
        index = skip(line, 0, TOKEN)
        if index == 0 or at(line, index) != c" ":
            return None
        method.size = index
        end = past_uri(line, index + 1)
        if end >= 0:
            end = past_parameters(line, end, PARAMETER)
        if end < 0 or end + 8 != line.size or not begins(line, end, b" SIP/2.0", 8):
            return None
        first = text_of(method.data, method.size)
        first = METHODS.get(first, first)
        second = text_of(line.data + index + 1, end - index - 1)
    if not is_sound(found, &method):
        return None
    if found.counts[CONTENT_LENGTH]:
        length = number_of(&found.firsts[CONTENT_LENGTH])
        if length < 0:
            return None
    return first, status, second, found.fields, found.index, found.body, length
