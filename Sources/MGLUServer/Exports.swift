// A server serves models: one import gives both.
@_exported public import MGLUModel
