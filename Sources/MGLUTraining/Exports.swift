// Training is done to models: one import gives both.
@_exported public import MGLUModel
