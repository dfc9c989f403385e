import MGLUModel

extension ReferenceUnit {
  /// The gradients of everything a unit reads.
  package struct Gradients: Sendable {
    /// dX `[n, h]`.
    package var input: ReferenceMatrix
    /// dW `[d, h]`; a GLU's dWg.
    package var weight: ReferenceMatrix
    /// A GLU's dWv `[d, h]`.
    package var valueWeight: ReferenceMatrix?
    /// dM_i `[d, h]`, which the straight-through estimator hands to the logits unchanged.
    package var masks: [ReferenceMatrix]
    /// dWr `[n_m, h]`.
    package var router: ReferenceMatrix?
  }

  /// From the upstream gradient dA `[n, d]`, by the chain rule over each route's two products
  /// s_i = x G_i^T and v_i = x V_i^T:
  ///
  ///     ds_i = p_i dA (.) g'(s_i) (.) v_i        dv_i = p_i dA (.) g(s_i)
  ///     dX = sum_i ds_i G_i + dv_i V_i           dG_i = ds_i^T X,  dV_i = dv_i^T X
  ///     dp_i = sum_j dA_j g(s_ij) v_ij
  package func backward(_ upstream: ReferenceMatrix, x: ReferenceMatrix) -> Gradients {
    let p = routes(x)
    var dp = p.zeros
    var result = Gradients(
      input: x.zeros, weight: weight.zeros, valueWeight: valueWeight?.zeros,
      masks: masks.map(\.zeros))
    for (i, factor) in factors.enumerated() {
      let s = x * factor.gate.transposed
      let g = s.map(activation.value)
      let slope = s.map(activation.slope)
      let v =
        factor.value.map { x * $0.transposed }
        ?? ReferenceMatrix(rows: s.rows, columns: s.columns, repeating: 1)
      for (row, sum) in (upstream .* g .* v).rowSums.enumerated() { dp[row, i] = sum }

      let dA = upstream.scalingRows(by: p.columns(i..<i + 1).elements)
      let ds = dA .* slope .* v
      let dv = dA .* g
      result.input += ds * factor.gate
      if let value = factor.value { result.input += dv * value }
      add(gate: ds.transposed * x, value: dv.transposed * x, ofRoute: i, to: &result)
    }
    if let router {
      let routing = router.backward(dp, routes: p, x: x)
      result.input += routing.input
      result.router = routing.weight
    }
    return result
  }

  /// Hands dG_i and dV_i on to the parameters they are made of: for an MGLU
  /// dW += M_i (.) dG_i + (1 - M_i) (.) dV_i and dM_i = W (.) (dG_i - dV_i).
  private func add(
    gate dG: ReferenceMatrix, value dV: ReferenceMatrix, ofRoute i: Int, to result: inout Gradients
  ) {
    switch kind {
    case .lu: result.weight += dG
    case .glu:
      result.weight += dG
      result.valueWeight = dV
    case .sharedGLU: result.weight += dG + dV
    case .mglu(let configuration):
      let mask = masks[i]
      if configuration.ablation == .noGateMask {
        result.weight += dG
      } else {
        result.weight += mask .* dG
        result.masks[i] += weight .* dG
      }
      if configuration.ablation == .noValueMask {
        result.weight += dV
      } else {
        result.weight += (1 - mask) .* dV
        result.masks[i] -= weight .* dV
      }
    }
  }
}
