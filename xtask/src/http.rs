//! As much HTTP as a task needs to talk to the API as the simulator does.

use std::{
    io::{self, BufReader, ErrorKind, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// `simulator:super_safe!`
const CREDENTIALS: &str = "Basic c2ltdWxhdG9yOnN1cGVyX3NhZmUh";

const TIMEOUT: Duration = Duration::from_secs(5);

/// One connection to a server, opened when it is needed.
#[derive(Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

/// What a server has answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            connection: None,
        }
    }

    pub(crate) fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.send("GET", path, "")
    }

    /// Sends `body` as JSON.
    pub(crate) fn post(&mut self, path: &str, body: &str) -> io::Result<Answer> {
        self.send("POST", path, body)
    }

    fn send(&mut self, method: &str, path: &str, body: &str) -> io::Result<Answer> {
        // It is put back only after a whole answer: what is left of half a one is lost with it.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\n\
             Host: {}\r\n\
             Authorization: {CREDENTIALS}\r\n\
             Content-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        connection.get_mut().write_all(request.as_bytes())?;
        let answer = receive(&mut connection)?;
        self.connection = Some(connection);
        Ok(answer)
    }

    fn connect(&self) -> io::Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect_timeout(&self.address, TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(BufReader::new(stream))
    }
}

fn receive(connection: &mut impl io::BufRead) -> io::Result<Answer> {
    let broken = |what| io::Error::new(ErrorKind::InvalidData, what);
    let line = read_line(connection)?;
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| broken("no status in the answer"))?;
    let mut length = 0;
    loop {
        let line = read_line(connection)?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            let value = value.trim().parse();
            length = value.map_err(|_| broken("the length of the answer is no number"))?;
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(broken("the answer comes in chunks"));
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body)?;
    let body = String::from_utf8(body).map_err(|_| broken("the answer is not UTF-8"))?;
    Ok(Answer { status, body })
}

fn read_line(connection: &mut impl io::BufRead) -> io::Result<String> {
    let mut line = String::new();
    if connection.read_line(&mut line)? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    line.truncate(line.trim_end().len());
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_where_the_next_begins() {
        let mut stream: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 204 No \
                                  Content\r\ndate: now\r\n\r\n";

        let first = receive(&mut stream).unwrap();
        assert_eq!((first.status, first.body.as_str()), (200, "ok"));
        let second = receive(&mut stream).unwrap();
        assert_eq!((second.status, second.body.as_str()), (204, ""));
        assert!(receive(&mut stream).is_err());
    }
}
