/// The gradients of an arena of parameters: the same layout, other memory, float32 always.
///
///     gradients[layer.weight]     // the gradient of that weight
public struct Gradients: Sendable {
  /// Where the gradients lie.
  public let arena: Arena
  /// Whether a pass adds to what is there; else what it finds counts as zero.
  public let accumulates: Bool

  /// Gradients in `arena`, laid out as the parameters are.
  ///
  /// - Parameters:
  ///   - arena: Where they lie.
  ///   - accumulates: Whether a pass adds to what is there.
  public init(arena: Arena, accumulates: Bool = true) {
    self.arena = arena
    self.accumulates = accumulates
  }

  /// The gradient of `parameter`.
  public subscript(parameter: Tensor) -> Tensor { parameter.counterpart(in: arena, as: .float32) }
}
