from callwright.rtp import incoming, jitter_buffer, loss_pattern, outgoing, play_out, reception, series

# The native classes have the verbs and figures of their pure twins, which the type checker reads instead.
IncomingStream = incoming.IncomingStream
OutgoingStream = outgoing.OutgoingStream
SequenceCount = reception.SequenceCount
ArrivalTiming = reception.ArrivalTiming
SilenceWatch = reception.SilenceWatch
Ledger = loss_pattern.Ledger
Judges = jitter_buffer.Judges
PlayOut = play_out.PlayOut
SecondSeries = series.SecondSeries
ScheduleError = series.ScheduleError
