import CMGLUInterface
import MGLU

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// What a function of the C interface returns.
enum InterfaceProblem: Int32, Sendable {
  case invalidArgument = 1
  case unsupported, outOfMemory, device, forked
}

/// An error of a call through the C interface.
typealias InterfaceError = Failure<InterfaceProblem>

extension Failure where Code == InterfaceProblem {
  /// A backend's error as the interface's.
  init(_ error: BackendError) {
    let code: InterfaceProblem =
      switch error.code {
      case .threadCount, .instructionSet: .invalidArgument
      case .operation, .weightType: .unsupported
      case .memory: .outOfMemory
      case .device: .device
      }
    self.init(code, error.message, remedy: error.remedy)
  }
}

/// Runs `body` and writes what it throws to `error`; returns the code.
@inline(__always)
func reporting(
  to error: UnsafeMutablePointer<mglu_error>?, _ body: () throws(InterfaceError) -> Void
) -> Int32 {
  do throws(InterfaceError) {
    try body()
    return 0
  } catch let failure {
    if let error { write(failure, to: error) }
    return failure.code.rawValue
  }
}

@inline(never)
private func write(_ failure: InterfaceError, to error: UnsafeMutablePointer<mglu_error>) {
  error.pointee.code = failure.code.rawValue
  let capacity = MemoryLayout.size(ofValue: error.pointee.message)
  let line = failure.description.split(separator: "\n").joined(separator: "; ")
  withUnsafeMutableBytes(of: &error.pointee.message) { target in
    target.initializeMemory(as: UInt8.self, repeating: 0)
    target.copyBytes(from: line.utf8.prefix(capacity - 1))
  }
}

/// An argument that no call may have.
@inline(never)
func invalid(_ message: String) -> InterfaceError { InterfaceError(.invalidArgument, message) }
