// A server serves an API over an engine: one import gives all.
@_exported public import MGLUServerAPI
