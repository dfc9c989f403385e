/// An integer of any size, as Python has them.
struct BigInteger: Equatable, Sendable {
  /// The digits of the absolute value to base 2^32, the lowest first, without leading zeros.
  private(set) var digits: [UInt32]
  let isNegative: Bool

  init(_ value: Int) {
    var rest = value.magnitude
    var digits: [UInt32] = []
    while rest > 0 {
      digits.append(UInt32(truncatingIfNeeded: rest))
      rest >>= 32
    }
    self.init(digits: digits, isNegative: value < 0)
  }

  private init(digits: [UInt32], isNegative: Bool) {
    var digits = digits
    while digits.last == 0 { digits.removeLast() }
    (self.digits, self.isNegative) = (digits, isNegative && !digits.isEmpty)
  }

  /// The integer that `text` writes to base `radix`: an optional sign and digits.
  init?(_ text: some StringProtocol, radix: Int = 10) {
    var rest = text.utf8[...]
    let isNegative = rest.first == UInt8(ascii: "-")
    if isNegative || rest.first == UInt8(ascii: "+") { rest = rest.dropFirst() }
    guard !rest.isEmpty else { return nil }
    var digits: [UInt32] = []
    for byte in rest {
      guard let digit = Character(Unicode.Scalar(byte)).hexOrLetterValue, digit < radix else {
        return nil
      }
      Self.multiply(&digits, by: UInt32(radix), adding: UInt32(digit))
    }
    self.init(digits: digits, isNegative: isNegative)
  }

  /// The integer part of a finite number.
  init(_ value: Double) {
    let whole = value.magnitude.rounded(.towardZero)
    guard whole >= 0x1p63 else {
      self.init(Int(value.rounded(.towardZero)))
      return
    }
    let shift = Int(whole.exponent) - 52
    let significand = (1 << 52) | whole.significandBitPattern
    let shifted = BigInteger(Int(significand)).shiftedLeft(by: shift)
    self.init(digits: shifted.digits, isNegative: value < 0)
  }

  /// The value as a machine integer, if it is one.
  var machineInteger: Int? {
    guard digits.count <= 2 else { return nil }
    let magnitude = digits.reversed().reduce(UInt(0)) { $0 << 32 | UInt($1) }
    if isNegative {
      return magnitude <= Int.min.magnitude ? Int(truncatingIfNeeded: 0 &- magnitude) : nil
    }
    return Int(exactly: magnitude)
  }

  var bitCount: Int {
    digits.last.map { digits.count * 32 - $0.leadingZeroBitCount } ?? 0
  }

  var isOdd: Bool { (digits.first ?? 0) & 1 == 1 }

  /// The nearest number, even on a tie; infinite where it is too large.
  var real: Double {
    let excess = bitCount - 64
    guard excess > 0 else {
      let magnitude = digits.reversed().reduce(UInt64(0)) { $0 << 32 | UInt64($1) }
      return isNegative ? -Double(magnitude) : Double(magnitude)
    }
    // The lowest bit stands for everything below, so that the one rounding is right.
    let (high, isExact) = shiftedRight(by: excess)
    var bits = high.reversed().reduce(UInt64(0)) { $0 << 32 | UInt64($1) }
    if !isExact { bits |= 1 }
    let value =
      excess > 1100
      ? Double.infinity : Double(sign: .plus, exponent: excess, significand: Double(bits))
    return isNegative ? -value : value
  }

  private func shiftedRight(by count: Int) -> (digits: [UInt32], isExact: Bool) {
    let (whole, bits) = (count / 32, count % 32)
    var result: [UInt32] = []
    for index in whole..<digits.count {
      let low = digits[index] >> UInt32(bits)
      let high = index + 1 < digits.count && bits > 0 ? digits[index + 1] << UInt32(32 - bits) : 0
      result.append(low | high)
    }
    let lost =
      digits[..<whole].contains { $0 != 0 }
      || bits > 0 && digits[whole] & ((1 << UInt32(bits)) - 1) != 0
    return (result, !lost)
  }

  private func shiftedLeft(by count: Int) -> BigInteger {
    var result = [UInt32](repeating: 0, count: count / 32) + digits
    let bits = UInt32(count % 32)
    if bits > 0 { Self.multiply(&result, by: 1 << bits, adding: 0) }
    return BigInteger(digits: result, isNegative: isNegative)
  }

  private static func multiply(_ digits: inout [UInt32], by factor: UInt32, adding: UInt32) {
    var carry = UInt64(adding)
    for index in digits.indices {
      let product = UInt64(digits[index]) * UInt64(factor) + carry
      digits[index] = UInt32(truncatingIfNeeded: product)
      carry = product >> 32
    }
    if carry > 0 { digits.append(UInt32(carry)) }
  }

  private static func divide(_ digits: inout [UInt32], by divisor: UInt32) -> UInt32 {
    var rest: UInt64 = 0
    for index in digits.indices.reversed() {
      rest = rest << 32 | UInt64(digits[index])
      digits[index] = UInt32(rest / UInt64(divisor))
      rest %= UInt64(divisor)
    }
    while digits.last == 0 { digits.removeLast() }
    return UInt32(rest)
  }

  /// The value in digits to base `radix`, 2 to 16.
  func description(radix: Int = 10) -> String {
    guard !digits.isEmpty else { return "0" }
    // As many digits at once as a 32-bit number holds.
    var (chunk, width) = (UInt32(radix), 1)
    while let next = UInt32(exactly: UInt64(chunk) * UInt64(radix)) {
      (chunk, width) = (next, width + 1)
    }
    var (rest, parts) = (digits, [String]())
    while !rest.isEmpty {
      let part = String(Self.divide(&rest, by: chunk), radix: radix)
      parts.append(
        rest.isEmpty ? part : String(repeating: "0", count: width - part.utf8.count) + part)
    }
    return (isNegative ? "-" : "") + parts.reversed().joined()
  }

  static func magnitudeIsLess(_ a: [UInt32], _ b: [UInt32]) -> Bool {
    guard a.count == b.count else { return a.count < b.count }
    for (x, y) in zip(a.reversed(), b.reversed()) where x != y { return x < y }
    return false
  }

  static func < (a: Self, b: Self) -> Bool {
    guard a.isNegative == b.isNegative else { return a.isNegative }
    return a.isNegative
      ? magnitudeIsLess(b.digits, a.digits) : magnitudeIsLess(a.digits, b.digits)
  }

  static prefix func - (a: Self) -> Self { Self(digits: a.digits, isNegative: !a.isNegative) }

  static func + (a: Self, b: Self) -> Self {
    guard a.isNegative != b.isNegative else {
      return Self(digits: sum(a.digits, b.digits), isNegative: a.isNegative)
    }
    return magnitudeIsLess(a.digits, b.digits)
      ? Self(digits: difference(b.digits, a.digits), isNegative: b.isNegative)
      : Self(digits: difference(a.digits, b.digits), isNegative: a.isNegative)
  }

  static func - (a: Self, b: Self) -> Self { a + -b }

  private static func sum(_ a: [UInt32], _ b: [UInt32]) -> [UInt32] {
    var (result, carry) = ([UInt32](), UInt64(0))
    for index in 0..<max(a.count, b.count) {
      carry += UInt64(index < a.count ? a[index] : 0) + UInt64(index < b.count ? b[index] : 0)
      result.append(UInt32(truncatingIfNeeded: carry))
      carry >>= 32
    }
    return result + [UInt32(carry)]
  }

  /// `a` - `b`, where `a` is not less.
  private static func difference(_ a: [UInt32], _ b: [UInt32]) -> [UInt32] {
    var (result, borrow) = (a, Int64(0))
    for index in a.indices {
      let part = Int64(a[index]) - (index < b.count ? Int64(b[index]) : 0) - borrow
      borrow = part < 0 ? 1 : 0
      result[index] = UInt32(truncatingIfNeeded: part)
    }
    return result
  }

  static func * (a: Self, b: Self) -> Self {
    var result = [UInt32](repeating: 0, count: a.digits.count + b.digits.count)
    for (i, x) in a.digits.enumerated() {
      var carry: UInt64 = 0
      for (j, y) in b.digits.enumerated() {
        carry += UInt64(x) * UInt64(y) + UInt64(result[i + j])
        result[i + j] = UInt32(truncatingIfNeeded: carry)
        carry >>= 32
      }
      result[i + b.digits.count] = UInt32(carry)
    }
    return Self(digits: result, isNegative: a.isNegative != b.isNegative)
  }

  /// The quotient rounded down and the remainder, which has the sign of `divisor`; `divisor` is not 0.
  func dividedDown(by divisor: Self) -> (quotient: Self, remainder: Self) {
    var (quotient, rest) = (digits, Self(0))
    if divisor.digits.count == 1 {
      let last = Self.divide(&quotient, by: divisor.digits[0])
      rest = Self(Int(last))
    } else {
      // Bit by bit: these numbers are small, and rare.
      var bits: [UInt32] = .init(repeating: 0, count: digits.count)
      let magnitude = Self(digits: divisor.digits, isNegative: false)
      for bit in (0..<bitCount).reversed() {
        rest = rest + rest
        if digits[bit / 32] >> UInt32(bit % 32) & 1 == 1 { rest = rest + Self(1) }
        if !(rest < magnitude) {
          rest = rest - magnitude
          bits[bit / 32] |= 1 << UInt32(bit % 32)
        }
      }
      quotient = bits
    }
    let isNegative = isNegative != divisor.isNegative
    let whole = Self(digits: quotient, isNegative: isNegative)
    if self.isNegative { rest = -rest }
    if !rest.digits.isEmpty, isNegative { return (whole - Self(1), rest + divisor) }
    return (whole, rest)
  }
}

extension BigInteger {
  /// The nearest number to the quotient, even on a tie; `nil` where it is too large. `divisor` is not 0.
  func divided(by divisor: Self) -> Double? {
    guard !digits.isEmpty else { return 0 }
    // A quotient of 65 bits or more, whose lowest bit stands for the remainder, rounds once.
    let shift = max(0, 66 + divisor.bitCount - bitCount)
    let magnitude = Self(digits: digits, isNegative: false).shiftedLeft(by: shift)
    let (quotient, rest) = magnitude.dividedDown(
      by: Self(digits: divisor.digits, isNegative: false))
    var exact = quotient.digits
    if !rest.digits.isEmpty { exact[0] |= 1 }
    let scaled = Self(digits: exact, isNegative: false).real
    let value = shift > 0 ? scaled * exp2(-shift / 2) * exp2(-(shift - shift / 2)) : scaled
    guard value.isFinite else { return nil }
    return isNegative != divisor.isNegative ? -value : value
  }

  private func exp2(_ exponent: Int) -> Double {
    Double(sign: .plus, exponent: exponent, significand: 1)
  }
}

extension Character {
  /// The value of a digit, with letters as further digits.
  fileprivate var hexOrLetterValue: Int? {
    guard let byte = asciiValue else { return nil }
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): return Int(byte) - 48
    case UInt8(ascii: "a")...UInt8(ascii: "z"): return Int(byte) - 87
    case UInt8(ascii: "A")...UInt8(ascii: "Z"): return Int(byte) - 55
    default: return nil
    }
  }
}
