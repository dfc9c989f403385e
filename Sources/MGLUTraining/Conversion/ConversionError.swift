import MGLUModel

/// What keeps a model from being converted.
public enum ConversionProblem: Sendable {
  /// A setting that no conversion can have.
  case setting
  /// The calibration text does not fit the model, or is too short.
  case calibrationText
  /// Numbers that are not finite.
  case nonFinite
  /// The folder keeps the layers of another conversion.
  case otherConversion
}

/// An error of a conversion.
public typealias ConversionError = Failure<ConversionProblem>
