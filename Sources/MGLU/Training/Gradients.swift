/// The gradients of an arena of parameters: the same layout, other memory, float32 always.
///
///     gradients[layer.weight]     // the gradient of that weight
public struct Gradients: Sendable {
  /// Whether a pass adds to what is there; else what it finds counts as zero.
  public let accumulates: Bool
  private let parts: ArenaParts

  /// Gradients in `arena`, laid out as the parameters are.
  ///
  /// - Parameters:
  ///   - arena: Where they lie.
  ///   - accumulates: Whether a pass adds to what is there.
  public init(arena: Arena, accumulates: Bool = true) {
    self.init(ArenaParts(arena), accumulates: accumulates)
  }

  /// Gradients of which parts may take turns in the same memory.
  package init(_ parts: ArenaParts, accumulates: Bool) {
    self.parts = parts
    self.accumulates = accumulates
  }

  /// Where the gradients lie.
  public var arena: Arena { parts.arena }

  /// The gradient of `parameter`.
  public subscript(parameter: Tensor) -> Tensor {
    guard let gradient = parts.counterpart(of: parameter) else {
      preconditionFailure("no gradient of a parameter of that place")
    }
    return gradient
  }

  /// The gradients of a stretch of the parameters' arena.
  package func floats(inBytes range: Range<Int>) -> Tensor { parts.elements(inBytes: range) }
}
