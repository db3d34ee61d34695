import Plan
import Testing

@Suite struct MachineTests {
  @Test(arguments: [
    ("m3-ultra-256", "m3-ultra-256"), ("M3 Ultra 256GB", "m3-ultra-256"), ("RTX 4090", "rtx-4090"), ("h100-80", "h100"),
    ("H100 80 GB", "h100"),
  ])
  func names(name: String, expected: String) throws {
    #expect(try Machines.named(name).name == expected)
  }

  @Test func anUnknownNameListsTheOthers() {
    #expect {
      try Machines.named("m9-max")
    } throws: { error in
      guard let error = error as? PlanError else { return false }
      return error.kind == .usage && error.description.contains("m9-max")
        && error.hint?.contains("m3-ultra-256") == true
    }
  }

  @Test func threeQuartersOrAllButTheReserve() {
    let careful = Machine(memory: 256_000_000_000, bandwidth: 819e9, reserve: nil)
    #expect(careful.usable == 192_000_000_000 - Machines.reserve)
    let sure = Machine(memory: 256_000_000_000, bandwidth: 819e9, reserve: 12_000_000_000)
    #expect(sure.usable == 244_000_000_000)
    #expect(Machine(memory: 1 << 30, bandwidth: nil, reserve: 2 << 30).usable == 0)
  }

  @Test func figuresCanBeReplaced() throws {
    let machine = try Machines.named("m3-ultra-256")
    #expect(machine.replacing() == machine)
    let raised = machine.replacing(bandwidth: 400e9, reserve: 10_000_000_000)
    #expect(raised.usable == (256 << 30) - 10_000_000_000 && raised.bandwidth == 400e9)
    #expect(raised.efficiency == machine.efficiency && raised.isMac)
  }

  @Test func everyFigureHasASource() {
    for machine in Machines.all {
      #expect(!machine.limitSource.isEmpty && !machine.bandwidthSource.isEmpty && !machine.efficiency.source.isEmpty)
      #expect(machine.limit <= machine.memory && machine.usable > machine.limit / 10 * 9)
      #expect((0.2...0.9).contains(machine.efficiency.dense) && machine.efficiency.experts < machine.efficiency.dense)
    }
  }

  @Test func thisMachineIsAsked() throws {
    let machine = try Machines.named("this")
    #expect(machine.memory > 1 << 28 && machine.limit <= machine.memory && machine.usable > 0)
  }
}
