// An engine serves models: one import gives both.
@_exported public import MGLUModel
