import CMGLUKernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// What kept a library from being opened.
public enum LibraryProblem: Sendable {
  /// No candidate could be opened.
  case notFound
}

/// An error of opening a library.
public typealias LibraryError = Failure<LibraryProblem>

/// A library opened at run time, by default for as long as the process lives.
///
/// Nothing that this package may use is linked: one binary serves machines that have a library and
/// machines that lack it.
public struct SharedLibrary: @unchecked Sendable {
  /// The file that it was loaded from, or the name by which it was opened.
  public let path: String
  let handle: UnsafeMutableRawPointer

  /// Opens the first candidate that can be opened and has the function `symbol`.
  ///
  /// The environment's `variable`, where it is set, names the only candidate. Candidates without
  /// a slash are looked for by the system (`LD_LIBRARY_PATH`, the loader's cache). The error lists
  /// what was tried and the loader's reason for each file that is there.
  public init(
    _ title: String, anyOf candidates: [String], override variable: String? = nil,
    having symbol: String
  ) throws(LibraryError) {
    let requested = variable.flatMap(Environment.value)
    if let requested, let variable, requested.contains("/"), !requested.hasPrefix("/") {
      throw LibraryError(
        .notFound, "\(variable) is \(requested), a relative path",
        remedy: "give a path from the root, or a name that the system looks for")
    }
    var reasons: [String] = []
    for name in requested.map({ [$0] }) ?? candidates {
      guard let handle = dlopen(name, RTLD_NOW | RTLD_LOCAL) else {
        reasons.append(Self.reason(for: name))
        continue
      }
      guard let address = dlsym(handle, symbol) else {
        dlclose(handle)
        reasons.append("\(name) (without \(symbol))")
        continue
      }
      self.handle = handle
      let file = cmglu_library_path(address).map { String(cString: $0) }
      path = file.flatMap { $0.contains("/") ? $0 : nil } ?? name
      return
    }
    let tried = reasons.isEmpty ? "nothing" : reasons.joined(separator: ", ")
    let origin = requested == nil ? "" : " (from \(variable ?? ""))"
    throw LibraryError(.notFound, "\(title) was not found: tried \(tried)\(origin)")
  }

  /// The name, and why the loader refused it where it is more than absence.
  private static func reason(for name: String) -> String {
    // The text belongs to the loader and is valid until its next call.
    guard let text = dlerror() else { return name }
    let reason = String(cString: text)
    if reason.hasPrefix(name), reason.hasSuffix("No such file or directory") { return name }
    return reason.hasPrefix(name) ? "(\(reason))" : "\(name) (\(reason))"
  }

  /// Lets go of the library, whose functions are not to be called after that.
  func close() { dlclose(handle) }

  /// The function of that name as a `@convention(c)` type, or `nil` where the library lacks it.
  ///
  /// The caller vouches for the type: the loader knows names only.
  func function<Function>(_ name: String, as type: Function.Type) -> Function? {
    dlsym(handle, name).map { unsafeBitCast($0, to: type) }
  }
}

/// The variables of the process's environment.
public enum Environment {
  /// The value of a variable; one that is empty counts as not set.
  public static func value(_ name: String) -> String? {
    guard let value = getenv(name), value.pointee != 0 else { return nil }
    return String(cString: value)
  }
}
