from callwright.sip.scan import Scan, Sound

def scan(
    data: bytes, max_start_line: int, max_head: int, max_fields: int, max_name: int, max_value: int
) -> Scan: ...
def read_sound(
    data: bytes, max_start_line: int, max_head: int, max_fields: int, max_name: int, max_value: int
) -> Sound | None: ...
