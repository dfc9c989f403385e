/// The gradients of an arena of parameters: the same layout, other memory, float32 always.
///
///     gradients[layer.weight]     // the gradient of that weight
public struct Gradients: Sendable {
  /// Whether a pass adds to what is there; else what it finds counts as zero.
  public let accumulates: Bool
  private let parts: ArenaParts
  /// The only arena whose parameters these are the gradients of, where one is known.
  private let owner: Arena?

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
    owner = nil
  }

  /// Gradients of the parameters in `owner` alone.
  init(arena: Arena, of owner: Arena) {
    parts = ArenaParts(arena)
    accumulates = true
    self.owner = owner
  }

  /// Where the gradients lie.
  public var arena: Arena { parts.arena }

  /// The gradient of `parameter`.
  ///
  /// - Precondition: `parameter` is one of those that the gradients were made for.
  public subscript(parameter: Tensor) -> Tensor {
    precondition(
      owner == nil || parameter.arena === owner, "a parameter of another unit or model")
    guard let gradient = parts.counterpart(of: parameter) else {
      preconditionFailure("no gradient of a parameter of that place")
    }
    return gradient
  }

  /// The gradients of a stretch of the parameters' arena.
  package func floats(inBytes range: Range<Int>) -> Tensor { parts.elements(inBytes: range) }
}
