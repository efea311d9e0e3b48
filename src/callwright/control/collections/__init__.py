"""Lists of records that programs page, sort, filter and group: the question as a value, whatever is asked."""
