//! Peers that a case starts, to kill them.

use crate::caller::Failed;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A peer whose standard input is open; it is killed when it is dropped.
pub struct Process(Child);

/// Starts a peer and returns when it has printed the line.
pub fn start(line: &str, program: &str, args: &[&str]) -> Result<Process, Failed> {
    let mut process = Process(
        Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("{}: {}", program, e))?,
    );
    let mut got = String::new();
    let mut stdout = BufReader::new(process.0.stdout.take().unwrap());
    let read = stdout.read_line(&mut got);
    process.0.stdout = Some(stdout.into_inner());
    if read.is_err() || got.trim_end() != line {
        return Err(format!("peer {:?}: got {:?}, want {:?}", args, got, line));
    }
    Ok(process)
}

impl Process {
    /// Ends the process with SIGKILL and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A directory that is removed when it is dropped.
pub struct TempDir(pub String);

impl TempDir {
    pub fn new() -> Result<TempDir, Failed> {
        let name = format!("{}/ttrpc-interop-{}", std::env::temp_dir().display(), std::process::id());
        std::fs::create_dir(&name).map_err(|e| format!("{}: {}", name, e))?;
        Ok(TempDir(name))
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
