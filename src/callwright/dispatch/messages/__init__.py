"""What the processes of a platform say to one another, as values: a file for each conversation.

JSON, so that a person with a NATS client can read along; messages that carry octets (`Octets`) go as
MessagePack. `wire` encodes and decodes them. Unknown keys are ignored.

The way of a run: a `Ticket` lies in the queue of a pool; the agent that takes it sends a `Claim`; the answer
holds the `Job`, with its secrets, which therefore never lie in the broker's store. Before the first INVITE an
`IntentNotice` is answered; the `Result` goes, then chunks of evidence, each repeated until it is answered. An
answer says that the database has it; an empty one, that the database is away and the sender is to ask again.
"""
