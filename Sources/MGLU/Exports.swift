// A user of the layers needs tensors and backends too: one import gives both.
@_exported public import MGLUCompute
