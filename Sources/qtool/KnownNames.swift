import Plan

/// Output of `plan --list`: known models and machines, with the sources of the machines' figures.
enum KnownNames {
  static var text: String {
    var models = Table([("model", .left), ("also", .left)])
    for shape in KnownShape.all { models.add([shape.name, shape.aliases.joined(separator: ", ")]) }
    var machines = Table([
      ("machine", .left), ("", .left), ("usable", .right), ("bandwidth", .right), ("reached", .right),
      ("with experts", .right),
    ])
    for machine in Machines.all {
      machines.add([
        machine.name, machine.title, Figures.bytes(machine.usable),
        machine.bandwidth.map { Figures.bytes(Int($0)) + "/s" } ?? "-", Figures.percent(machine.efficiency.dense, 0),
        Figures.percent(machine.efficiency.experts, 0),
      ])
    }
    let width = (Machines.all.map(\.name.count).max() ?? 0) + 2
    let sources = Machines.all.map { machine in
      let name = machine.name + String(repeating: " ", count: width - machine.name.count)
      return wrapped(
        "\(name)\(machine.limitSource); bandwidth: \(machine.bandwidthSource); speed: \(machine.efficiency.source)",
        indent: width)
    }
    return [
      models.rendered(), machines.rendered(), "Sources:\n" + sources.joined(separator: "\n"),
      "`--machine this`, the default, queries the operating system.",
    ].joined(separator: "\n\n")
  }

  struct JSON: Encodable {
    struct Model: Encodable {
      let name: String
      let aliases: [String]
    }
    let models: [Model]
    let machines: [MachineJSON]
  }

  static var json: JSON {
    JSON(
      models: KnownShape.all.map { JSON.Model(name: $0.name, aliases: $0.aliases) },
      machines: Machines.all.map(MachineJSON.init))
  }
}
