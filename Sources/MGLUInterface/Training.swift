import CMGLUInterface
import MGLU

// The passes before and after the product of a unit, forward and backward.

/// `mglu_stack` of mglu.h.
// swift-format-ignore: AlwaysUseLowerCamelCase
@c @implementation public func mglu_stack(
  _ context: OpaquePointer?, _ masks: Int32, _ elements: Int64, _ weight: UnsafePointer<Float>?,
  _ logits: UnsafePointer<Float>?, _ stack: UnsafeMutableRawPointer?,
  _ stream: UnsafeMutableRawPointer?, _ error: UnsafeMutablePointer<mglu_error>?
) -> Int32 {
  reporting(to: error) { () throws(InterfaceError) in
    let context = try Context.of(context)
    let size = try stackSize(masks, elements)
    let masks = Int(masks)
    let weight = try address(UnsafeRawPointer(weight), "weight", alignment: 4)
    let logits = try address(UnsafeRawPointer(logits), "logits", alignment: 4)
    let stack = try address(UnsafeRawPointer(stack), "stack", alignment: context.isGPU ? 2 : 4)
    let backend = context.backend
    try context.perform(.on(stream)) {
      backend.stackMasked(
        backend.borrow(weight, [size], .float32),
        logits: backend.borrow(logits, [masks, size], .float32),
        into: backend.borrow(stack, [masks + 1, size], context.productType))
    }
  }
}

/// `mglu_unstack` of mglu.h.
// swift-format-ignore: AlwaysUseLowerCamelCase
@c @implementation public func mglu_unstack(
  _ context: OpaquePointer?, _ masks: Int32, _ elements: Int64,
  _ stackGradient: UnsafePointer<Float>?, _ weight: UnsafePointer<Float>?,
  _ logits: UnsafePointer<Float>?, _ weightGradient: UnsafeMutablePointer<Float>?,
  _ logitsGradient: UnsafeMutablePointer<Float>?, _ stream: UnsafeMutableRawPointer?,
  _ error: UnsafeMutablePointer<mglu_error>?
) -> Int32 {
  reporting(to: error) { () throws(InterfaceError) in
    let context = try Context.of(context)
    let size = try stackSize(masks, elements)
    let masks = Int(masks)
    let stackGradient = try address(
      UnsafeRawPointer(stackGradient), "the stack's gradient", alignment: 4)
    let weight = try address(UnsafeRawPointer(weight), "weight", alignment: 4)
    let logits = try address(UnsafeRawPointer(logits), "logits", alignment: 4)
    let weightGradient = try address(
      UnsafeRawPointer(weightGradient), "the weight's gradient", alignment: 4)
    let backend = context.backend
    try context.perform(.on(stream)) {
      backend.unstackGradient(
        backend.borrow(stackGradient, [masks + 1, size], .float32),
        weight: backend.borrow(weight, [size], .float32),
        logits: backend.borrow(logits, [masks, size], .float32),
        weightGradient: backend.borrow(weightGradient, [size], .float32),
        logitsGradient: logitsGradient.map {
          backend.borrow(UInt(bitPattern: $0), [masks, size], .float32)
        })
    }
  }
}

/// `mglu_combine` of mglu.h.
// swift-format-ignore: AlwaysUseLowerCamelCase
@c @implementation public func mglu_combine(
  _ context: OpaquePointer?, _ call: UnsafePointer<mglu_combine_call>?,
  _ error: UnsafeMutablePointer<mglu_error>?
) -> Int32 {
  reporting(to: error) { () throws(InterfaceError) in
    let context = try Context.of(context)
    let combine = try CombineArguments(call, in: context)
    let a = try address(UnsafeRawPointer(combine.call.a), "a", alignment: combine.alignment)
    try context.perform(.on(combine.call.stream)) {
      let type = context.productType
      context.backend.combine(
        context.backend.borrow(combine.streams, combine.streamsShape, type),
        gating: combine.gating, activation: combine.activation, routes: combine.routes,
        into: context.backend.borrow(a, combine.shape, type))
    }
  }
}

/// `mglu_combine_backward` of mglu.h.
// swift-format-ignore: AlwaysUseLowerCamelCase
@c @implementation public func mglu_combine_backward(
  _ context: OpaquePointer?, _ call: UnsafePointer<mglu_combine_call>?,
  _ error: UnsafeMutablePointer<mglu_error>?
) -> Int32 {
  reporting(to: error) { () throws(InterfaceError) in
    let context = try Context.of(context)
    let combine = try CombineArguments(call, in: context)
    let upstream = try address(
      combine.call.a_gradient, "the gradient of a", alignment: combine.alignment)
    let gradient = try address(
      UnsafeRawPointer(combine.call.streams_gradient), "the streams' gradient",
      alignment: combine.alignment)
    var routesGradient: Tensor?
    if let routes = combine.routes {
      routesGradient = context.backend.borrow(
        try address(
          UnsafeRawPointer(combine.call.routes_gradient), "the routes' gradient", alignment: 4),
        routes.shape, .float32)
    }
    try context.perform(.on(combine.call.stream)) {
      let type = context.productType
      context.backend.combineBackward(
        context.backend.borrow(upstream, combine.shape, type),
        streams: context.backend.borrow(combine.streams, combine.streamsShape, type),
        gating: combine.gating, activation: combine.activation, routes: combine.routes,
        streamsGradient: context.backend.borrow(gradient, combine.streamsShape, type),
        routesGradient: routesGradient)
    }
  }
}

/// `mglu_route` of mglu.h.
// swift-format-ignore: AlwaysUseLowerCamelCase
@c @implementation public func mglu_route(
  _ context: OpaquePointer?, _ n: Int64, _ masks: Int32, _ topK: Int32,
  _ logits: UnsafePointer<Float>?, _ routes: UnsafeMutablePointer<Float>?,
  _ stream: UnsafeMutableRawPointer?, _ error: UnsafeMutablePointer<mglu_error>?
) -> Int32 {
  reporting(to: error) { () throws(InterfaceError) in
    let context = try Context.of(context)
    let n = try count(n, "n")
    guard (1...16).contains(masks), (1...masks).contains(topK) else {
      throw invalid(
        "the top \(topK) of \(masks) masks: expected 1 to 16, and no more than there are")
    }
    _ = try product(n, Int(masks), 4, of: "routes")
    if n == 0 { return }
    let logits = try address(UnsafeRawPointer(logits), "logits", alignment: 4)
    let routes = try address(UnsafeRawPointer(routes), "routes", alignment: 4)
    let (backend, shape) = (context.backend, [n, Int(masks)])
    try context.perform(.on(stream)) {
      backend.route(
        backend.borrow(logits, shape, .float32), topK: Int(topK),
        into: backend.borrow(routes, shape, .float32))
    }
  }
}

/// The elements of a matrix that a stack of it under each mask can be counted with.
private func stackSize(_ masks: Int32, _ elements: Int64) throws(InterfaceError) -> Int {
  guard (1...16).contains(masks) else { throw invalid("\(masks) masks: expected 1 to 16") }
  guard elements > 0, elements < 1 << 40 else {
    throw invalid("\(elements) elements of a matrix: expected 1 to 2^40")
  }
  return Int(elements)
}

/// The arguments of both combining passes.
private struct CombineArguments {
  let call: mglu_combine_call
  let gating: Gating
  let activation: Activation
  let streams: UInt
  let routes: Tensor?
  let shape: [Int]
  let streamsShape: [Int]
  let alignment: UInt

  init(
    _ pointer: UnsafePointer<mglu_combine_call>?, in context: Context
  ) throws(InterfaceError) {
    call = try checked(pointer, \.size, "call")
    let n = try count(call.n, "n", from: 1)
    let width = try count(call.width, "width", from: 1)
    gating = try MGLUInterface.gating(call.kind, masks: call.masks)
    activation = try Activation(number: call.activation)
    shape = [n, width]
    streamsShape = [n, width * gating.streams]
    _ = try product(n, width, gating.streams, 4, of: "streams")
    alignment = context.isGPU ? 2 : 4
    streams = try address(call.streams, "streams", alignment: alignment)
    guard call.routes == nil || call.masks > 0 else {
      throw invalid("routes of a unit without masks")
    }
    if let pointer = call.routes {
      let address = try address(UnsafeRawPointer(pointer), "routes", alignment: 4)
      routes = context.backend.borrow(address, [n, Int(call.masks)], .float32)
    } else {
      routes = nil
    }
  }
}

extension Context {
  /// The type of streams and of what products read.
  var productType: DataType { backend.productType }
}

extension BorrowedCall {
  /// A call on a stream.
  static func on(_ stream: UnsafeMutableRawPointer?) -> BorrowedCall {
    var call = BorrowedCall()
    call.stream = stream.bits
    return call
  }
}
