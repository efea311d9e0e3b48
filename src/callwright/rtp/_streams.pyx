"""The native twin of what `rtp.Session` does with each packet: `incoming`, `outgoing` and all below them.

Written beside the pure modules line by line: the same names, the same order of floating-point operations, so
that both give the same figures to the last bit. Comments that say why stand in the pure twin. What is rare
(settled run lengths, header extensions, digits, reports) is done by the code of the pure twin itself.

Octets of the wire are read only below a length that was checked.
"""

import os

if os.environ.get("CALLWRIGHT_PURE"):
    raise ImportError("CALLWRIGHT_PURE asks for the pure twin")

from collections import deque

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.math cimport INFINITY, fabs
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcpy, memset

from callwright.rtp import loss_pattern as _loss_pattern
from callwright.rtp import received as _received
from callwright.rtp.outgoing import Prepared as _Prepared
from callwright.rtp.outgoing import SentFrame as _SentFrame
from callwright.rtp.packet import RtpError as _RtpError
from callwright.rtp.packet import payload_bounds as _payload_bounds
from callwright.rtp.play_out import PlayedFrame as _PlayedFrame
from callwright.rtp.report import SchedulingError as _SchedulingError
from callwright.rtp.series import second_rows as _second_rows
from callwright.rtp.series import sent_rows as _sent_rows
from callwright.rtp.telephone_event import EventReceiver as _EventReceiver
from callwright.rtp.telephone_event import EventSender as _EventSender
from callwright.rtp.timeline import Timeline as _Timeline
from callwright.rtp.timeline import cause_of as _cause_of
from callwright.rtp.timeline import is_hole as _is_hole

cdef object new_tuple = tuple.__new__  # a named tuple's own constructor takes three times as long

include "_streams_series.pxi"
include "_streams_reception.pxi"
include "_streams_buffers.pxi"
include "_streams_incoming.pxi"
include "_streams_outgoing.pxi"
