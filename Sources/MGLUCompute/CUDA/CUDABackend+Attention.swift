import CMGLUKernels

// Attention of the rows of a step over the caches of their sequences, through attention.cu.

extension CUDABackend {
  public func cacheType(weights: WeightType, precision: InputPrecision) -> DataType {
    activationType(weights: weights, precision: precision)
  }

  public var cacheBlockSize: Int { 64 }

  public func activationType(weights: WeightType, precision: InputPrecision) -> DataType {
    switch (precision, weights) {
    case (.reduced, .float16), (.reduced, .int8): .float16
    case (.reduced, .bfloat16): .bfloat16
    default: .float32
    }
  }

  public func attention(
    _ qkv: Tensor, shape: AttentionShape, rows: AttentionRows, table: RotaryTable,
    cache: KeyValueBlocks, into output: Tensor
  ) {
    preconditionFailure("attention over blocks of the cache")
  }
}
