/** Whether this process has its terminal, or a shell has put it into the background. */
import { readFileSync } from 'node:fs';

/** `/proc/self/stat` behind the name of the program, which may hold anything: proc_pid_stat(5), fields 3 to 8. */
const STAT = /^.*\) \S (?<parent>-?\d+) (?<group>-?\d+) (?<session>-?\d+) (?<terminal>-?\d+) (?<foreground>-?\d+) /s;

/** False where the system does not say (only Linux does, and only to a process that has a terminal). Takes some microseconds. */
export function isInBackground(): boolean {
  if (process.platform !== 'linux') return false;
  try {
    const { group, foreground } = STAT.exec(readFileSync('/proc/self/stat', 'utf8'))?.groups ?? {};
    return Number(foreground) > 0 && foreground !== group;
  } catch {
    return false;
  }
}
