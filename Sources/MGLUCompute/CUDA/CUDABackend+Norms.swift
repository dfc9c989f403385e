// RMSNorm by itself, forward and backward, through training.cu; inference has that of whole rows
// within its products.

extension CUDABackend {
  public func rmsNorm(
    _ x: Tensor, parts: RowParts?, weight: Tensor, epsilon: Float, into y: Tensor,
    inverseRMS: Tensor
  ) {
    let (norms, width) = (Norms(x, parts, weight), weight.count)
    precondition(
      x.dataType == .bfloat16 && y.dataType == .bfloat16 && y.count == x.count
        && inverseRMS.count == norms.count, "the norm has another width or type")
    guard norms.count > 0 else { return }
    launch(
      "training", "rms_norm", options: norms.options(on: self, x, weight, y),
      grid: LaunchSize(norms.count), block: LaunchSize(rowThreads(width, most: 1024)),
      programmatic: false,
      arguments: norms.address(x), weight.deviceAddress, epsilon, norms.address(y),
      inverseRMS.deviceAddress, Int32(width), norms.parts, norms.stride)
  }

  public func rmsNormInPlace(_ x: Tensor, parts: RowParts?, weight: Tensor, epsilon: Float) {
    let norms = Norms(x, parts, weight)
    precondition(x.dataType == .float32, "the norm has another type")
    guard norms.count > 0 else { return }
    launch(
      "tokens", "rms_norm_in_place", grid: LaunchSize((norms.count + 7) / 8), block: 256,
      arguments: norms.address(x), weight.deviceAddress, epsilon, Int64(norms.count),
      Int32(weight.count), norms.parts, norms.stride)
  }

  public func rmsNormBackward(
    _ upstream: Tensor, x: Tensor, parts: RowParts?, weight: Tensor, inverseRMS: Tensor,
    accumulates: Bool, xGradient: Tensor, weightGradient: Tensor
  ) {
    let (norms, width) = (Norms(x, parts, weight), weight.count)
    precondition(
      upstream.dataType == .bfloat16 && x.dataType == .bfloat16 && xGradient.dataType == .bfloat16
        && weightGradient.dataType == .float32 && upstream.count == x.count
        && xGradient.count == x.count && weightGradient.count == width,
      "the norm has another width or type")
    guard norms.count > 0 else { return }
    // The same number everywhere: it decides in which order the weight's gradient is added up.
    let blocks = min(norms.count, 1024)
    let partial = scratch(.partialColumns, ofBytes: blocks * width * 4)
    let options = norms.options(on: self, upstream, x, weight, xGradient)
    launch(
      "training", "rms_norm_backward", options: options, grid: LaunchSize(blocks),
      block: LaunchSize(rowThreads(width, most: 1024)), sharedBytes: (width + 7) / 8 * 32,
      programmatic: false,
      arguments: norms.address(upstream), norms.address(x), weight.deviceAddress,
      inverseRMS.deviceAddress, norms.address(xGradient), partial, Int64(norms.count),
      Int32(width), norms.parts, norms.stride, Int32(accumulates ? 1 : 0))
    launch(
      "training", "add_columns", options: options, grid: LaunchSize((width + 7) / 8), block: 1024,
      programmatic: false,
      arguments: partial, weightGradient.deviceAddress, Int32(blocks), Int32(width))
  }
}

/// The norms of a tensor's rows, as the kernels count them.
private struct Norms {
  let count: Int
  let parts: Int32
  let stride: Int64
  private let first: Int
  private let width: Int

  init(_ x: Tensor, _ parts: RowParts?, _ weight: Tensor) {
    let own = parts ?? RowParts(first: 0, count: 1)
    own.check(x, weight, isWhole: parts == nil)
    (count, first, width) = (x.rows * own.count, own.first, weight.count)
    (self.parts, stride) = (Int32(own.count), Int64(x.columns))
  }

  /// Where the first norm lies.
  func address(_ tensor: Tensor) -> UInt64 {
    tensor.deviceAddress + UInt64(first * tensor.dataType.byteCount)
  }

  /// Every part begins at a multiple of eight elements, or none is taken to.
  func options(on backend: CUDABackend, _ tensors: Tensor...) -> [String] {
    let isAligned = first % 8 == 0 && stride % 8 == 0
    let isWide =
      isAligned && width % 8 == 0 && tensors.allSatisfy { $0.deviceAddress % 16 == 0 }
    return ["-DWIDE=\(isWide ? 1 : 0)"]
  }
}
