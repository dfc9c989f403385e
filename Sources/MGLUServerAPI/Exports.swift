// The API answers for an engine: one import gives both.
@_exported public import MGLUServing
