//! Lists of processors, such as `0,2` or `0-3,8`.

use std::fmt;
use std::str::FromStr;

/// Highest number of a processor, plus one.
const PROCESSORS_MAX: usize = 1_024;

/// Processors by the operating system's numbers, ascending, none twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreList(pub Vec<usize>);

impl FromStr for CoreList {
    /// What to write instead.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mend = || "write processor numbers and ranges, such as 0,2 or 0-3".to_owned();
        let mut cores = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| text.trim().parse::<usize>().map_err(|_| mend());
            let (first, last) = (number(first)?, number(last)?);
            if last < first || last >= PROCESSORS_MAX {
                return Err(mend());
            }
            cores.extend(first..=last);
        }
        let given = cores.len();
        cores.sort_unstable();
        cores.dedup();
        if cores.len() < given {
            return Err("a processor is named twice; name each once".to_owned());
        }
        Ok(Self(cores))
    }
}

impl fmt::Display for CoreList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = &self.0[..];
        while let Some(first) = rest.first() {
            let run = rest.iter().enumerate().take_while(|(index, core)| **core == first + index).count();
            if rest.len() < self.0.len() {
                f.write_str(",")?;
            }
            match run {
                1 => write!(f, "{first}")?,
                _ => write!(f, "{first}-{}", rest[run - 1])?,
            }
            rest = &rest[run..];
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_written() {
        for (text, cores) in
            [("0", vec![0]), ("0,2", vec![0, 2]), ("0-3,8", vec![0, 1, 2, 3, 8]), ("5,1-2", vec![1, 2, 5])]
        {
            let list: CoreList = text.parse().unwrap();
            assert_eq!(list.0, cores);
            assert_eq!(list.to_string().parse::<CoreList>().unwrap(), list);
        }
        assert_eq!(CoreList(vec![0, 1, 2, 7]).to_string(), "0-2,7");
        for text in ["", ",", "a", "3-1", "1,1", "0-2,2", "-1", "0-99999999999", "1024"] {
            assert!(text.parse::<CoreList>().is_err(), "{text}");
        }
    }
}
