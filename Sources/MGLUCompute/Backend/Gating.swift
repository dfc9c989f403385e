/// Which factor of a masked unit is left unmasked (paper, appendix B.5). Both are controls.
public enum MaskAblation: String, Sendable, CaseIterable, Codable {
  /// g(x W^T) (.) (x ((1-M) (.) W)^T).
  case noGateMask = "no_gate_mask"
  /// g(x (M (.) W)^T) (.) (x W^T).
  case noValueMask = "no_value_mask"
}

/// How the streams of one wide product become the intermediate activation a.
///
/// The streams of a token lie side by side, `[tokens, streams * d]`.
public enum Gating: Sendable, Equatable {
  /// a = g(t); one stream [t].
  case linear
  /// a = g(s) (.) v; two streams [s, v].
  case gated
  /// a = g(t) (.) t; one stream [t].
  case shared
  /// a = sum_i p_i g(s_i) (.) (t - s_i); n + 1 streams [s_1 ... s_n, t], the complement identity.
  /// An ablation replaces the gate's s_i or the value's t - s_i by t.
  case masked(count: Int, ablation: MaskAblation?)

  /// The number of streams.
  public var streams: Int {
    switch self {
    case .linear, .shared: 1
    case .gated: 2
    case .masked(let count, _): count + 1
    }
  }
}
