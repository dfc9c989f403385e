// The standard library's preconditions say nothing where a program is optimized: "Illegal instruction" and
// no word of what was wrong. These say it there, too.

/// Ends the process with `message` if `condition` is false, however the program was compiled.
@inlinable @inline(__always)
package func precondition(
  _ condition: @autoclosure () -> Bool, _ message: @autoclosure () -> String,
  file: StaticString = #fileID, line: UInt = #line
) {
  if !condition() { fatalError(message(), file: file, line: line) }
}

/// The same where that is certain.
@inlinable
package func preconditionFailure(
  _ message: @autoclosure () -> String, file: StaticString = #fileID, line: UInt = #line
) -> Never {
  fatalError(message(), file: file, line: line)
}
