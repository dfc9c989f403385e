import ArgumentParser

/// A number of bytes: a plain one, or one of 2^10 (K), 2^20 (M), 2^30 (G) or 2^40 (T) bytes.
struct ByteCount: ExpressibleByArgument {
  let value: Int

  init?(argument: String) {
    let units: [Character: Int] = ["K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40]
    let unit = argument.uppercased().last.flatMap { units[$0] }
    let digits = unit == nil ? argument[...] : argument.dropLast()
    guard let number = Double(digits), number > 0, number.isFinite else { return nil }
    let bytes = number * Double(unit ?? 1)
    guard bytes >= 1, bytes < 0x1p60 else { return nil }
    value = Int(bytes)
  }
}
