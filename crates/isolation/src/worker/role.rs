//! What a process learns from its environment about being a worker.

use crate::environment::{HOST_PID_VAR, ROLE_VAR, TOKEN_VAR, WAIT_VAR, variable};
use crate::sys::worker as sys;
use cofferdam_ipc::handshake::Token;

/// This process was started as a worker.
#[derive(Debug)]
pub(super) struct Role {
    /// Its parent.
    pub(super) host_pid: u32,
    /// What the handshake asks for.
    pub(super) token: Token,
    /// It stops itself until a debugger lets it go on.
    pub(super) waits_for_debugger: bool,
}

impl Role {
    /// Takes the role out of the environment, so that no program that user code starts takes itself for a worker.
    /// `None` in a host. Garbled variables give a role that the handshake refuses.
    pub(super) fn take() -> Option<Self> {
        variable(ROLE_VAR)?;
        let number = text(HOST_PID_VAR).and_then(|pid| pid.parse().ok());
        let token = text(TOKEN_VAR).and_then(|digits| parse_token(&digits));
        let waits_for_debugger = variable(WAIT_VAR).is_some();
        for name in [ROLE_VAR, HOST_PID_VAR, TOKEN_VAR, WAIT_VAR] {
            sys::remove_var(name);
        }
        let token = token.unwrap_or(Token([0; 16]));
        Some(Self { host_pid: number.unwrap_or(0), token, waits_for_debugger })
    }
}

fn text(name: &str) -> Option<String> {
    variable(name)?.into_string().ok()
}

fn parse_token(digits: &str) -> Option<Token> {
    let mut token = [0; 16];
    if digits.len() != 32 || !digits.is_ascii() {
        return None;
    }
    for (byte, at) in token.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&digits[at..at + 2], 16).ok()?;
    }
    Some(Token(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_32_hexadecimal_digits() {
        assert_eq!(parse_token("000102030405060708090a0b0c0d0eff").map(|token| token.0[15]), Some(255));
        assert!(parse_token("0001").is_none());
        assert!(parse_token("zz0102030405060708090a0b0c0d0eff").is_none());
        assert!(parse_token("ä00102030405060708090a0b0c0d0ef").is_none());
    }
}
