import ArgumentParser
import Plan
import Quantize

/// The machine of a plan.
struct MachineOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "A machine by its name, such as m3-ultra-256; --list shows them (default: this one).", valueName: "name"),
    completion: .list(["this"] + Machines.all.map(\.name)))
  var machine: String?

  @Option(
    name: .long, help: ArgumentHelp("Memory of the machine, such as 256GB; 75 % of it is used.", valueName: "size"))
  var memory: ByteSize?

  @Option(name: .long, help: ArgumentHelp("Its bandwidth, such as 819GB/s.", valueName: "size/s"))
  var bandwidth: Bandwidth?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Memory reserved for the system. With --memory, the remainder is used instead of 75 %.", valueName: "size"))
  var reserve: ByteSize?

  /// Name of the machine for `quantize --fit`; nil if other figures are given.
  var name: String? { memory == nil && bandwidth == nil && reserve == nil ? machine ?? "this" : nil }

  func chosen() throws -> Machine {
    if machine == nil, let memory {
      return Machine(
        memory: memory.bytes, bandwidth: bandwidth?.bytesPerSecond, reserve: reserve?.bytes,
        title: "a machine of \(Figures.bytes(memory.bytes))")
    }
    return try namedMachine(machine ?? "this")
      .replacing(memory: memory?.bytes, bandwidth: bandwidth?.bytesPerSecond, reserve: reserve?.bytes)
  }
}

/// The machine of that name; for an unknown one, a failure that suggests the nearest name.
func namedMachine(_ name: String) throws -> Machine {
  do {
    return try Machines.named(name)
  } catch {
    throw Failure(error)?.suggesting(name, among: ["this"] + Machines.all.map(\.name)) ?? error
  }
}

/// Bytes per second: `819GB/s`.
struct Bandwidth: ExpressibleByArgument {
  let bytesPerSecond: Double

  init?(argument: String) {
    guard argument.lowercased().hasSuffix("/s"), let size = try? ByteSize(String(argument.dropLast(2))), size.bytes > 0
    else { return nil }
    bytesPerSecond = Double(size.bytes)
  }
}

/// Tokens: `32768` or `32k`, which is 32 x 1024.
struct ContextLength: ExpressibleByArgument {
  let tokens: Int

  init(tokens: Int) { self.tokens = tokens }

  init?(argument: String) {
    let isThousands = argument.lowercased().hasSuffix("k")
    guard let number = Int(isThousands ? argument.dropLast() : argument[...]), (1...1 << 24).contains(number) else {
      return nil
    }
    tokens = isThousands ? number * 1024 : number
    guard tokens <= 1 << 24 else { return nil }
  }
}

extension CacheType: ExpressibleByArgument {}
