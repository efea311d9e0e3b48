"""One measurement each: machines that take bytes and `now`, what runs them on sockets, and one result."""
