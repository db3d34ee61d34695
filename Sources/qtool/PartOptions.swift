import ArgumentParser
import Files
import Foundation

/// The sharing of a run by the jobs of an array.
struct PartOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Do one of N parts, such as 3/8; /8 takes the number from the array job of Slurm, PBS or SGE (default: number and "
        + "count of Slurm's array). `qtool join` makes the result.", valueName: "k/n"))
  var part: String?

  func validate() throws { _ = try choice() }

  /// The share of a run.
  enum Choice: Equatable {
    case one(RunPart)
    /// Takes the results of all parts.
    case join(count: Int)
  }

  /// The given part, or that of the scheduler's job; nil for the whole run.
  func choice(_ environment: [String: String] = ProcessInfo.processInfo.environment) throws -> Choice? {
    guard let part else { return try ArrayJob(environment)?.part.map(Choice.one) }
    let fields = part.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    guard fields.count == 2, let count = Int(fields[1]), (1...Self.maximumCount).contains(count) else {
      throw ValidationError("--part \(part): expected K/N, such as 3/8")
    }
    if fields[0] == "all" { return .join(count: count) }
    if fields[0].isEmpty {
      guard let job = try ArrayJob(environment) else {
        throw ValidationError(
          "--part \(part): this is no job of an array of Slurm, PBS or SGE; name the part, such as 3/8")
      }
      guard let part = RunPart(number: job.number, count: count) else {
        throw ValidationError("--part \(part): the job of the array is number \(job.number) of \(count)")
      }
      return count == 1 ? nil : .one(part)
    }
    guard let number = Int(fields[0]), let value = RunPart(number: number, count: count) else {
      throw ValidationError("--part \(part): parts are numbered from 1 to \(count)")
    }
    return count == 1 ? nil : .one(value)
  }

  /// More parts than any scheduler has jobs in an array.
  private static let maximumCount = 1_000_000

  /// Says which part this is, where the scheduler decided it.
  func note(_ choice: Choice?, _ progress: Progress) {
    guard part == nil || part?.hasPrefix("/") == true, case .one(let part) = choice else { return }
    progress.note("part \(part), as the number of this job in its array; --part 1/1 does the whole run")
  }

  /// The arguments of this process without those that choose the part.
  static var arguments: [String] {
    var result: [String] = []
    var skips = false
    for argument in CommandLine.arguments.dropFirst() {
      if skips {
        skips = false
      } else if argument == "--part" {
        skips = true
      } else if !argument.hasPrefix("--part=") {
        result.append(argument)
      }
    }
    return result
  }
}

/// This process as a job of an array, by the variables of its scheduler.
struct ArrayJob: Equatable {
  /// The number of the job, from 1.
  let number: Int
  /// The number of jobs; nil where the scheduler does not tell it.
  let count: Int?

  /// The part that is this job's, if the number of jobs is known and not 1.
  var part: RunPart? { count.flatMap { $0 == 1 ? nil : RunPart(number: number, count: $0) } }

  /// nil outside of an array.
  ///
  /// - Throws: `ValidationError` where the indices of the array have gaps, so that they do not number the parts.
  init?(_ environment: [String: String]) throws {
    func value(_ name: String) -> Int? { environment[name].flatMap { Int($0) } }
    func index(_ id: Int, from first: Int, step: Int) -> Int { (id - first) / max(1, step) + 1 }
    if let id = value("SLURM_ARRAY_TASK_ID") {
      let first = value("SLURM_ARRAY_TASK_MIN") ?? 1
      let step = value("SLURM_ARRAY_TASK_STEP") ?? 1
      number = index(id, from: first, step: step)
      count = value("SLURM_ARRAY_TASK_COUNT")
      if let count, let last = value("SLURM_ARRAY_TASK_MAX"), index(last, from: first, step: step) != count {
        throw ValidationError(
          "the indices of this array job have gaps (\(count) jobs from \(first) to \(last)): name the part with --part K/N"
        )
      }
    } else if let id = value("SGE_TASK_ID") {
      let first = value("SGE_TASK_FIRST") ?? 1
      let step = value("SGE_TASK_STEPSIZE") ?? 1
      number = index(id, from: first, step: step)
      count = value("SGE_TASK_LAST").map { index($0, from: first, step: step) }
    } else if let id = value("PBS_ARRAY_INDEX") ?? value("PBS_ARRAYID") {
      // PBS tells neither the first index nor the count: arrays must begin at 1.
      number = id
      count = nil
    } else {
      return nil
    }
  }
}
