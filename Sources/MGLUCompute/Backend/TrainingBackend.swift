/// The operations of training, forward and backward, of a model that keeps float32 masters of its
/// weights.
///
/// Shapes: n tokens, h hidden size, d intermediate size, V vocabulary, m masks; row-major. Weights
/// that products read, activations and their gradients are of ``productType``; everything else is
/// float32: norms, mask logits, statistics, route weights, losses, and the gradients of parameters.
/// Gradients of weights and of residual inputs accumulate, everything else overwrites.
public protocol TrainingBackend: Backend {
  // Products -------------------------------------------------------------------------------------

  /// The type of the factors of products: float32, or a narrower one, in which weights are kept
  /// beside their float32 masters. Sums are float32 always.
  var productType: DataType { get }
  /// The vocabulary is padded in memory to a multiple of this, for the sake of aligned products.
  var vocabularyMultiple: Int { get }
  /// The algorithms that this backend chose by measuring and computes with from then on, as text: a
  /// run that goes on takes them up, so that its sums are rounded as before. Empty where nothing is
  /// measured.
  var tunedAlgorithms: [String: String] { get set }

  /// C = A B, or C = A B + D where D, which may be C itself, is given. The innermost dimension is
  /// the columns, all others together are the rows. A and B have one type, C and D have another or
  /// the same: a product's, or float32.
  ///
  ///     backend.multiply(x, w.transposed, into: y)                      // y = x W^T
  ///     backend.multiply(dy, w, into: dx)                               // dX = dY W
  ///     backend.multiply(dy.transposed, x, into: dw, adding: dw)        // dW += dY^T X
  func multiply(_ a: MatrixOperand, _ b: MatrixOperand, into c: Tensor, adding d: Tensor?)

  // Feed-forward units (paper, sections 3 and 4) -------------------------------------------------

  /// stack = [M_1 (.) W; ...; M_m (.) W; W] with M_i = 1 where L_i > 0.
  ///
  /// weight `[d, h]` and logits `[m, d, h]`, float32; stack `[(m + 1) d, h]` of a product's type.
  func stackMasked(_ weight: Tensor, logits: Tensor, into stack: Tensor)

  /// dW += sum_i M_i (.) P_i + Q and dL_i += W (.) P_i (straight-through), where
  /// stackGradient is [P_1; ...; P_m; Q], or = in place of += unless it `accumulates`. Without
  /// `logitsGradient` the masks stay as they are.
  func unstackGradient(
    _ stackGradient: Tensor, weight: Tensor, logits: Tensor, weightGradient: Tensor,
    logitsGradient: Tensor?, accumulates: Bool)

  /// a `[n, d]` from streams `[n, streams d]`, and route weights `[n, m]` where there is a router.
  func combine(
    _ streams: Tensor, gating: Gating, activation: Activation, routes: Tensor?, into a: Tensor)

  /// From the upstream gradient of a: the gradient of the streams, which may overwrite the streams
  /// themselves, and that of the route weights `[n, m]`.
  func combineBackward(
    _ upstream: Tensor, streams: Tensor, gating: Gating, activation: Activation, routes: Tensor?,
    streamsGradient: Tensor, routesGradient: Tensor?)

  /// The gradient of ``Backend/route(_:topK:into:)``:
  /// dlogits = p (.) (dp - sum_k p_k dp_k), of a product's type; may overwrite dp of equal type.
  func routeBackward(_ routesGradient: Tensor, routes: Tensor, logitsGradient: Tensor)

  // Biases ---------------------------------------------------------------------------------------

  /// dBias `[width]` += the sum of the rows of the gradient `[n, width]`, of a product's type.
  func addBiasBackward(_ upstream: Tensor, biasGradient: Tensor)

  // Embedding ------------------------------------------------------------------------------------

  /// x `[n, h]` = rows of table `[V, h]` at `tokens` (int32 `[n]`).
  func embed(_ tokens: Tensor, table: Tensor, into x: Tensor)
  /// dTable += the rows of dX, at their tokens.
  func embedBackward(_ gradient: Tensor, tokens: Tensor, tableGradient: Tensor)

  // Norm -----------------------------------------------------------------------------------------

  /// y = weight (.) x r, r = 1 / sqrt(mean(x^2) + epsilon), per row or for each of its `parts`; r is
  /// kept in inverseRMS `[n]` or `[n, parts]`. Elements of y beyond the parts stay as they are.
  func rmsNorm(
    _ x: Tensor, parts: RowParts?, weight: Tensor, epsilon: Float, into y: Tensor,
    inverseRMS: Tensor)
  /// dX = the gradient, or dX += it where it `accumulates`; dWeight += its gradient.
  func rmsNormBackward(
    _ upstream: Tensor, x: Tensor, parts: RowParts?, weight: Tensor, inverseRMS: Tensor,
    accumulates: Bool, xGradient: Tensor, weightGradient: Tensor)

  // Attention ------------------------------------------------------------------------------------

  /// Rotates the first ``AttentionShape/rotarySize`` elements of the query and key heads of qkv in
  /// place by their positions (int32 `[n]`), halves against halves as Hugging Face does; `inverse`
  /// rotates back, which is the backward pass.
  func rotate(
    _ qkv: Tensor, shape: AttentionShape, positions: Tensor, table: RotaryTable, inverse: Bool)

  /// Grouped-query causal attention over sequences of equal length; each query sees the positions of
  /// its ``AttentionShape/window``.
  ///
  /// qkv `[sequences * length, (heads + 2 kvHeads) headSize]`, output
  /// `[sequences * length, heads headSize]`; logSumExp `[sequences, heads, length]` is kept for
  /// the backward pass. Memory is linear in the length.
  func attention(
    _ qkv: Tensor, shape: AttentionShape, length: Int, into output: Tensor, logSumExp: Tensor)
  /// The gradient of qkv (overwritten).
  func attentionBackward(
    _ upstream: Tensor, qkv: Tensor, output: Tensor, logSumExp: Tensor, shape: AttentionShape,
    length: Int, qkvGradient: Tensor)

  // Loss -----------------------------------------------------------------------------------------

  /// losses `[n]` = -log softmax(logits)[target]; a negative target counts nothing. Unless
  /// `gradientScale` is 0, logits `[n, V]` become their own gradient times it; where it is 0 they are
  /// used up. Of wider rows only the first `vocabulary` are logits; the others have no gradient.
  func crossEntropy(
    _ logits: Tensor, vocabulary: Int, targets: Tensor, losses: Tensor, gradientScale: Float)

  /// losses `[n]` = those of ``Distillation`` with the logits of a teacher `[n, V']`; logits `[n, V]`
  /// become their own gradient times `gradientScale`. A negative target counts nothing. Of wider rows
  /// only the first `vocabulary` are logits.
  func distill(
    _ logits: Tensor, teacher: Tensor, vocabulary: Int, targets: Tensor, losses: Tensor,
    gradientScale: Float, _ distillation: Distillation)

  // Optimizer ------------------------------------------------------------------------------------

  /// One step of AdamW with decoupled weight decay (Loshchilov and Hutter, 2019) over `weights`; the
  /// gradient stays as it is.
  ///
  /// A squared norm (float64 `[1]`) that is not finite changes nothing.
  /// `copy`, where given, is what products read: it becomes the weights in its own type.
  func adamW(
    _ weights: Tensor, gradient: Tensor, firstMoment: Tensor, secondMoment: Tensor,
    copy: Tensor?, squaredNorm: Tensor, step: AdamWStep)
  /// sums (float64) = the sum of squares of each `squareBlock` elements of x, and of what is left at
  /// its end: parts of a vector that begin at such blocks have the sums of the whole.
  func sumsOfSquares(_ x: Tensor, into sums: Tensor)
  /// sum (float64 `[1]`) = the sum of `sums` (float64), in an order that depends on their count alone.
  func addSums(_ sums: Tensor, into sum: Tensor)
  /// sum (float64 `[1]`) = the sum of squares: ``addSums(_:into:)`` of ``sumsOfSquares(_:into:)``.
  func sumOfSquares(_ x: Tensor, into sum: Tensor)

  // Several ranks --------------------------------------------------------------------------------

  /// Enqueues what `body` asks for beside what is asked for afterwards: it waits for all that was asked
  /// for before, here and aside, and nothing waits for it but `wait(for:)`. A backend without a queue
  /// just computes.
  ///
  /// - Parameter body: Asks for exchanges, and for operations over elements, whose memory no others write
  ///   meanwhile.
  func aside(_ body: @escaping () -> Void) -> Milestone
  /// Lets what is asked for from now on wait until what was enqueued aside is done.
  func wait(for milestone: Milestone)

  // Calibration of a conversion ------------------------------------------------------------------

  /// e = s (x - y) by rows: x and y `[n, h]` of a product's type, s float32 `[n]`, e of a product's
  /// type or float32; e may be x. Without y, e = s x; without s, e = x - y.
  func scaledDifference(_ x: Tensor, _ y: Tensor?, rowScales: Tensor?, into e: Tensor)

  /// Rounds float32 elements to the type of `target`.
  func convert(_ source: Tensor, into target: Tensor)
}

/// The end of what a backend was asked for aside.
public struct Milestone: Sendable {
  /// What the backend knows it by; `nil` where nothing is left to wait for.
  let event: (any AnyObject & Sendable)?

  /// One that nothing has to wait for.
  public static let reached = Milestone(event: nil)
}

// What a backend need not implement.
extension TrainingBackend {
  public func aside(_ body: @escaping () -> Void) -> Milestone {
    body()
    return .reached
  }

  public func wait(for milestone: Milestone) {}

  public var productType: DataType { .float32 }

  public var vocabularyMultiple: Int { 1 }

  public func convert(_ source: Tensor, into target: Tensor) {
    precondition(target.dataType == .float32, "products of this backend are of float32")
    copy(source, into: target)
  }

  public var tunedAlgorithms: [String: String] {
    get { [:] }
    set {}
  }
}

extension TrainingBackend {
  /// The elements that ``sumsOfSquares(_:into:)`` adds up at a time.
  public static var squareBlock: Int { 1 << 14 }
}

extension TrainingBackend {
  /// Adds to the gradients; see
  /// ``unstackGradient(_:weight:logits:weightGradient:logitsGradient:accumulates:)``.
  public func unstackGradient(
    _ stackGradient: Tensor, weight: Tensor, logits: Tensor, weightGradient: Tensor,
    logitsGradient: Tensor?
  ) {
    unstackGradient(
      stackGradient, weight: weight, logits: logits, weightGradient: weightGradient,
      logitsGradient: logitsGradient, accumulates: true)
  }
}

extension TrainingBackend {
  /// y = x W^T and its kin; see ``multiply(_:_:into:adding:)``.
  public func multiply(
    _ a: Tensor, _ b: MatrixOperand, into c: Tensor, adding d: Tensor? = nil
  ) {
    multiply(MatrixOperand(tensor: a, isTransposed: false), b, into: c, adding: d)
  }

  /// dX = dY W and its kin; see ``multiply(_:_:into:adding:)``.
  public func multiply(_ a: Tensor, _ b: Tensor, into c: Tensor, adding d: Tensor? = nil) {
    multiply(a, MatrixOperand(tensor: b, isTransposed: false), into: c, adding: d)
  }

  /// dW = dY^T X and its kin; see ``multiply(_:_:into:adding:)``.
  public func multiply(
    _ a: MatrixOperand, _ b: Tensor, into c: Tensor, adding d: Tensor? = nil
  ) {
    multiply(a, MatrixOperand(tensor: b, isTransposed: false), into: c, adding: d)
  }
}

extension TrainingBackend {
  /// The norm of whole rows; see ``rmsNorm(_:parts:weight:epsilon:into:inverseRMS:)``.
  public func rmsNorm(
    _ x: Tensor, weight: Tensor, epsilon: Float, into y: Tensor, inverseRMS: Tensor
  ) {
    rmsNorm(x, parts: nil, weight: weight, epsilon: epsilon, into: y, inverseRMS: inverseRMS)
  }

  /// dX += and dWeight += the gradients of the norm of whole rows.
  public func rmsNormBackward(
    _ upstream: Tensor, x: Tensor, weight: Tensor, inverseRMS: Tensor, xGradient: Tensor,
    weightGradient: Tensor
  ) {
    rmsNormBackward(
      upstream, x: x, parts: nil, weight: weight, inverseRMS: inverseRMS, accumulates: true,
      xGradient: xGradient, weightGradient: weightGradient)
  }
}
