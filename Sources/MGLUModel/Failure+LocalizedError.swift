#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

// For programs that show errors by Foundation's `localizedDescription`.
extension Failure: LocalizedError {
  /// The message and the remedy.
  public var errorDescription: String? { description }
}
